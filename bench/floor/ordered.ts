/**
 * A JetStream stream read in order by a client, as bare as it comes: what a record costs when nothing is done with it. Its
 * messages are what records are: under such subjects, with a partition key and a time in headers.
 */
import { spawn } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as wait } from 'node:timers/promises'
import { type JsMsg, jetstream, jetstreamManager, StorageType } from '@nats-io/jetstream'
import { connect, headers } from 'nats'
import { endProcess } from '../harness/processes.ts'
import { bareServer } from './jetstream.ts'

export type OrderedFloor = AsyncDisposable & {
  /** Messages a second that an ordered consumer gets of those that wait. */
  consumeRate(): Promise<number>
  /** From publishing to delivery to an ordered consumer, one at a time: milliseconds, median. */
  deliveryMs(messages: number, pauseMs: number): Promise<number>
}

const stream = 'LAMBUS_KINESIS_bare'
const subjectOf = (shard: string) => `lambus.shard.bare.1a2b3c4d.${shard}`
const waitingSubject = subjectOf('waiting')
const idleSubject = subjectOf('idle')

function recordHeaders(index: number) {
  const head = headers()
  head.set('Lambus-Partition-Key', `key-${index % 1_000}`)
  head.set('Lambus-Arrival', String(Date.now()))
  return head
}

/** `waiting`: messages with such bodies that are there. */
export async function startOrdered(waiting: number, body: Uint8Array): Promise<OrderedFloor> {
  const dir = mkdtempSync(join(tmpdir(), 'lambus-bare-'))
  const { path, conf, url } = await bareServer(dir)
  const child = spawn(path, ['-c', conf], { stdio: 'ignore' })
  const nats = await connect({ servers: await url(), noAsyncTraces: true })
  const js = jetstream(nats)
  const manager = await jetstreamManager(nats)
  await manager.streams.add({
    name: stream,
    subjects: [subjectOf('*')],
    storage: StorageType.File,
    max_msgs_per_subject: -1,
  })
  for (let sent = 0; sent < waiting; sent += 64) {
    const some = Array.from({ length: Math.min(64, waiting - sent) })
    await Promise.all(
      some.map((_, index) =>
        js.publish(waitingSubject, body, { headers: recordHeaders(sent + index) }),
      ),
    )
  }

  const ordered = async (subject: string, callback: (message: JsMsg) => void) => {
    const consumer = await js.consumers.get(stream, { filter_subjects: subject })
    const consuming = await consumer.consume({ max_messages: 1_000, callback })
    return () => consuming.close()
  }

  return {
    async consumeRate() {
      let got = 0
      let all = () => {}
      const done = new Promise<void>((resolve) => {
        all = resolve
      })
      const startedMs = performance.now()
      const stop = await ordered(waitingSubject, () => {
        got++
        if (got === waiting) all()
      })
      await done
      const tookMs = performance.now() - startedMs
      await stop()
      return (waiting * 1000) / tookMs
    },
    async deliveryMs(messages, pauseMs) {
      const times: number[] = []
      const before = (await manager.streams.info(stream)).state.last_seq
      let arrived = (_sequence: number) => {}
      const stop = await ordered(idleSubject, ({ seq }) => arrived(seq))
      await wait(100)
      for (let count = 0; count < messages; count++) {
        const startedMs = performance.now()
        const delivered = new Promise<void>((resolve) => {
          arrived = (sequence) => {
            // An ordered consumer begins with what was there.
            if (sequence <= before + count) return
            times.push(performance.now() - startedMs)
            resolve()
          }
        })
        await js.publish(idleSubject, body, { headers: recordHeaders(count) })
        await delivered
        await wait(pauseMs)
      }
      await stop()
      await manager.streams.purge(stream, { filter: idleSubject })
      return times.sort((a, b) => a - b)[Math.floor(times.length / 2)] ?? Number.NaN
    },
    async [Symbol.asyncDispose]() {
      await nats.close()
      await endProcess(child)
      rmSync(dir, { recursive: true, force: true })
    },
  }
}
