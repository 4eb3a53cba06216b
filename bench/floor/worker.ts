/**
 * The worker of the bare path: a NATS subscription in front of children that echo, one payload at a time each, as a
 * sandbox has one invocation at a time. Arguments: the NATS URL, how many children.
 */
import { spawn } from 'node:child_process'
import type { Socket } from 'node:net'
import { fileURLToPath } from 'node:url'
import { connect, type Msg } from 'nats'
import { readFrames, writeFrame } from './frames.ts'
import { worker } from './subjects.ts'

type Child = { socket: Socket; reply: string }

const nats = await connect({ servers: process.argv[2] ?? '', noAsyncTraces: true })
const free: Child[] = []
const waiting: Msg[] = []

function give(child: Child, message: Msg): void {
  child.reply = message.reply ?? ''
  writeFrame(child.socket, message.data)
}

function startChild(): void {
  const { stdio } = spawn(
    process.execPath,
    [fileURLToPath(new URL('./echo.ts', import.meta.url))],
    {
      stdio: ['ignore', 'inherit', 'inherit', 'pipe'],
    },
  )
  const child: Child = { socket: stdio[3] as Socket, reply: '' }
  readFrames(child.socket, (payload) => {
    nats.publish(child.reply, payload)
    const next = waiting.shift()
    if (next === undefined) free.push(child)
    else give(child, next)
  })
  free.push(child)
}

for (let started = 0; started < Number(process.argv[3]); started += 1) startChild()

nats.subscribe(worker, {
  queue: 'worker',
  callback: (_, message) => {
    const child = free.pop()
    if (child === undefined) waiting.push(message)
    else give(child, message)
  },
})
await nats.flush()
process.send?.('listening')
process.on('disconnect', () => process.exit())
