// Node's http: routes by the raw path, by the decoded one, and as a browser's URL reads it.
// node server.js PORT LOG PREFIX…
const http = require("node:http");
const fs = require("node:fs");

const [port, log, ...prefixes] = process.argv.slice(2);
const file = fs.openSync(log, "a");
const named = { admin: "admin", secret: "secret", mcp: "mcp" };

function place(path) {
  const prefix = prefixes.find((one) => path === one || path.startsWith(one + "/"));
  if (prefix === undefined) return "root";
  const segments = path.slice(prefix.length + 1).split("/");
  if (segments[0] === "files") return segments[1] === "keys" ? "keys" : "files";
  return named[segments[0]] ?? "root";
}

function readings(url) {
  const raw = url.split("?")[0];
  const found = [raw];
  try { found.push(decodeURIComponent(raw)); } catch { /* it is no UTF-8: nothing to route */ }
  try { found.push(new URL(url, "http://lab").pathname); } catch { /* nor a URL */ }
  return found;
}

http.createServer((request, response) => {
  const parts = [];
  request.on("data", (part) => parts.push(part));
  request.on("end", () => {
    const headers = [];
    for (let at = 0; at < request.rawHeaders.length; at += 2)
      headers.push([request.rawHeaders[at], request.rawHeaders[at + 1]]);
    const cookies = (request.headers.cookie ?? "").split(";").map((c) => c.split("=")[0].trim());
    fs.writeSync(file, JSON.stringify({
      method: request.method, target: request.url,
      places: [...new Set(readings(request.url).map(place))].sort(), headers,
      body: Buffer.concat(parts).toString("latin1"), cookies, trailers: request.rawTrailers,
    }) + "\n");
    response.end("ok");
  });
}).listen({ port: Number(port), host: "127.0.0.1", backlog: 512 });
