"""An MCP server with what the runner's scenarios ask for: each way that messages can take.

Plain answers, progress in a stream, questions back to the client in the midst
of a call, binary content, resources, templates, prompts.
"""

import base64
from typing import Any

from mcp.server.mcpserver import Context, MCPServer
from mcp.server.mcpserver.prompts.base import Message, UserMessage
from mcp.server.mcpserver.utilities.types import Audio, Image
from mcp_types import (
    Completion,
    EmbeddedResource,
    SamplingMessage,
    TextContent,
    TextResourceContents,
)
from pydantic import BaseModel

PIXEL = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR4nGNgYGBgAAAABQABh6FO1AAAAABJRU5ErkJggg=="
)
SILENCE = b"RIFF$\0\0\0WAVEfmt \x10\0\0\0\1\0\1\0@\x1f\0\0\x80>\0\0\2\0\x10\0data\0\0\0\0"


class Answer(BaseModel):
    """What a person is asked for in the midst of a call."""

    username: str
    email: str


def embedded(uri: str) -> EmbeddedResource:
    contents = TextResourceContents(uri=uri, mime_type="text/plain", text="what it holds")
    return EmbeddedResource(resource=contents)


def build() -> MCPServer:
    server = MCPServer("everything", log_level="CRITICAL")
    _add_plain_tools(server)
    _add_talking_tools(server)
    _add_resources(server)
    _add_prompts(server)
    return server


def _add_plain_tools(server: MCPServer) -> None:
    @server.tool(description="test_simple_text")
    async def test_simple_text() -> str:
        return "This is a simple text response for testing."

    @server.tool(description="test_image_content")
    async def test_image_content() -> Image:
        return Image(data=PIXEL, format="png")

    @server.tool(description="test_audio_content")
    async def test_audio_content() -> Audio:
        return Audio(data=SILENCE, format="wav")

    @server.tool(description="test_embedded_resource")
    async def test_embedded_resource() -> EmbeddedResource:
        return embedded("test://embedded-resource")

    @server.tool(structured_output=False, description="test_multiple_content_types")
    async def test_multiple_content_types() -> list[Any]:
        return ["some text", Image(data=PIXEL, format="png"), embedded("test://mixed")]

    @server.tool(description="test_error_handling")
    async def test_error_handling() -> str:
        raise ValueError("this tool fails on purpose")


def _add_talking_tools(server: MCPServer) -> None:
    @server.tool(description="test_tool_with_progress")
    async def test_tool_with_progress(ctx: Context) -> str:
        for percent in (0, 50, 100):
            await ctx.report_progress(percent, 100)
        return "done"

    @server.tool(description="test_sampling")
    async def test_sampling(prompt: str, ctx: Context) -> str:
        message = SamplingMessage(role="user", content=TextContent(text=prompt))
        answer = await ctx.session.create_message(
            [message],
            max_tokens=100,
            related_request_id=ctx.request_id,
        )
        return f"the model says: {answer.content}"

    @server.tool(description="test_elicitation")
    async def test_elicitation(message: str, ctx: Context) -> str:
        answer = await ctx.elicit(message, Answer)
        return f"the person says: {answer.action}"


def _add_resources(server: MCPServer) -> None:
    @server.resource("test://static-text", mime_type="text/plain")
    async def static_text() -> str:
        return "the text of a resource"

    @server.resource("test://static-binary", mime_type="image/png")
    async def static_binary() -> bytes:
        return PIXEL

    @server.resource("test://template/{id}/data", mime_type="application/json")
    async def template(id: str) -> str:  # noqa: A002  (the scenario's name)
        return f'{{"id": "{id}"}}'


def _add_prompts(server: MCPServer) -> None:
    @server.prompt(description="test_simple_prompt")
    async def test_simple_prompt() -> str:
        return "a prompt without arguments"

    @server.prompt(description="test_prompt_with_arguments")
    async def test_prompt_with_arguments(arg1: str, arg2: str) -> str:
        return f"arg1={arg1} arg2={arg2}"

    @server.prompt(name="test_prompt_with_embedded_resource", description="with_resource")
    async def with_resource(resourceUri: str) -> list[Message]:  # noqa: N803  (the scenario's name)
        return [UserMessage(embedded(resourceUri))]

    @server.prompt(description="test_prompt_with_image")
    async def test_prompt_with_image() -> list[Message]:
        return [UserMessage(Image(data=PIXEL, format="png"))]

    @server.completion()  # type: ignore[no-untyped-call, untyped-decorator]
    async def complete(*_: object) -> Completion:
        return Completion(values=["test one", "test two"])
