/**
 * The door of the bare path: what comes in over HTTP or NATS goes to the worker as it is, and back.
 * Arguments: the NATS URL. Says its HTTP port on the inherited IPC channel when it listens.
 */
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { connect } from 'nats'
import { questions } from './questions.ts'
import { door, raw, worker } from './subjects.ts'

const nats = await connect({ servers: process.argv[2] ?? '', noAsyncTraces: true })
const ask = questions(nats)

nats.subscribe(raw, {
  queue: 'door',
  callback: (_, message) => {
    if (message.reply !== undefined) nats.publish(message.reply, message.data)
  },
})

nats.subscribe(door, {
  queue: 'door',
  callback: (_, message) => {
    const { reply } = message
    if (reply !== undefined) {
      ask(worker, message.data, (answer) => nats.publish(reply, answer.data))
    }
  },
})

const server = createServer((request, response) => {
  const chunks: Buffer[] = []
  request.on('data', (chunk: Buffer) => chunks.push(chunk))
  request.on('end', () => {
    const [only] = chunks
    const body = chunks.length === 1 && only !== undefined ? only : Buffer.concat(chunks)
    ask(worker, body, (answer) => {
      response.writeHead(200, { 'content-length': answer.data.length })
      response.end(answer.data)
    })
  })
})

await nats.flush()
server.listen(0, '127.0.0.1', () => process.send?.((server.address() as AddressInfo).port))
process.on('disconnect', () => process.exit())
