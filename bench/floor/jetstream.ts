/**
 * JetStream as bare as it comes, with every message on disk before it is acknowledged: what an event costs when nothing is
 * done with it.
 */
import { spawn } from 'node:child_process'
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as wait } from 'node:timers/promises'
import {
  AckPolicy,
  type JsMsg,
  jetstream,
  jetstreamManager,
  RetentionPolicy,
  StorageType,
} from '@nats-io/jetstream'
import { connect } from 'nats'
import { findNatsServer } from '../../bus/server-binary.ts'
import { endProcess } from '../harness/processes.ts'

export type BareJetStream = AsyncDisposable & {
  /** Messages a second, published one by one, so many in flight. */
  publishRate(messages: number, inFlight: number): Promise<number>
  /** The same, until the last one has been delivered and its acknowledgement has removed it. */
  endRate(messages: number, inFlight: number): Promise<number>
  /** From publishing to delivery, one at a time: milliseconds, median. */
  deliveryMs(messages: number, pauseMs: number): Promise<number>
}

const body = Buffer.from(JSON.stringify({ name: 'Ada', list: [1, 2, 3], nested: { ok: true } }))
const stream = 'BARE'
const subject = 'bare.event'

/** A server to be started in that directory, which stores like ours. `url` waits until it listens. */
export async function bareServer(
  dir: string,
): Promise<{ path: string; conf: string; url: () => Promise<string> }> {
  const { path } = await findNatsServer({ environment: process.env })
  const conf = join(dir, 'nats.conf')
  writeFileSync(
    conf,
    [
      'host: 127.0.0.1',
      'port: -1',
      `ports_file_dir: "${dir}"`,
      'jetstream {',
      `  store_dir: "${dir}/store"`,
      '  sync_interval: always',
      '}',
    ].join('\n'),
  )
  return { path, conf, url: () => urlIn(dir) }
}

export async function startBareJetStream(): Promise<BareJetStream> {
  const dir = mkdtempSync(join(tmpdir(), 'lambus-bare-'))
  const { path, conf, url } = await bareServer(dir)
  const child = spawn(path, ['-c', conf], { stdio: 'ignore' })
  const nats = await connect({ servers: await url(), noAsyncTraces: true })
  const js = jetstream(nats)
  const manager = await jetstreamManager(nats)
  await manager.streams.add({
    name: stream,
    subjects: [subject],
    retention: RetentionPolicy.Workqueue,
    storage: StorageType.File,
  })

  const publish = async (messages: number, inFlight: number): Promise<void> => {
    let left = messages
    const lane = async () => {
      while (left-- > 0) await js.publish(subject, body)
    }
    await Promise.all(Array.from({ length: inFlight }, lane))
  }
  const consume = async (callback: (message: JsMsg) => void) => {
    const info = await manager.consumers.add(stream, {
      durable_name: 'bare',
      ack_policy: AckPolicy.Explicit,
      max_ack_pending: -1,
    })
    const consumer = js.consumers.getConsumerFromInfo(info)
    const consuming = await consumer.consume({ max_messages: 500, callback })
    return async () => {
      await consuming.close()
      await manager.consumers.delete(stream, 'bare')
    }
  }
  const stored = async () => (await manager.streams.info(stream)).state.messages

  return {
    async publishRate(messages, inFlight) {
      const startedMs = performance.now()
      await publish(messages, inFlight)
      const tookMs = performance.now() - startedMs
      await manager.streams.purge(stream)
      return (messages * 1000) / tookMs
    },
    async endRate(messages, inFlight) {
      const stop = await consume((message) => message.ack())
      const startedMs = performance.now()
      await publish(messages, inFlight)
      while ((await stored()) > 0) await wait(5)
      const tookMs = performance.now() - startedMs
      await stop()
      return (messages * 1000) / tookMs
    },
    async deliveryMs(messages, pauseMs) {
      const times: number[] = []
      let arrived = () => {}
      const stop = await consume((message) => {
        arrived()
        message.ack()
      })
      for (let count = 0; count < messages; count++) {
        const startedMs = performance.now()
        const delivered = new Promise<void>((resolve) => {
          arrived = () => {
            times.push(performance.now() - startedMs)
            resolve()
          }
        })
        await js.publish(subject, body)
        await delivered
        await wait(pauseMs)
      }
      await stop()
      return times.sort((a, b) => a - b)[Math.floor(times.length / 2)] ?? Number.NaN
    },
    async [Symbol.asyncDispose]() {
      await nats.close()
      await endProcess(child)
      rmSync(dir, { recursive: true, force: true })
    },
  }
}

async function urlIn(dir: string): Promise<string> {
  for (;;) {
    const file = readdirSync(dir).find((name) => name.endsWith('.ports'))
    if (file !== undefined) {
      try {
        return JSON.parse(readFileSync(join(dir, file), 'utf8')).nats[0]
      } catch {
        // Not written to its end yet.
      }
    }
    await wait(20)
  }
}
