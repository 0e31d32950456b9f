// The other end of node.converse: one JSON object a line, the answer is the next line of stdin.
import { createInterface } from 'node:readline'

const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]()

export const settings = JSON.parse(process.argv[2])

async function ask(verb, value) {
  process.stdout.write(`${JSON.stringify({ [verb]: value })}\n`)
  return (await lines.next()).value
}

/** The person opens *url*; where the browser ended up. */
export const open = async (url) => new URL(await ask('open', String(url)))

/** The server's clock goes on by *seconds*. */
export const wait = (seconds) => ask('wait', seconds)

/** What was found out; an error as its sentence. */
export async function report(work) {
  let result
  try {
    result = await work()
  } catch (error) {
    result = { error: `${error}`, cause: `${error?.cause?.message ?? JSON.stringify(error?.cause)}` }
  }
  process.stdout.write(`${JSON.stringify({ result })}\n`)
  process.exit(0)
}
