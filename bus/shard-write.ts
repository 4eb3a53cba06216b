/**
 * Putting records into a shard: each is a message on the shard's subject, several of one shard are one write.
 *
 * A shard that was closed has no subject any more, and whoever still writes there is told "no responders": nothing was stored,
 * and a newer map of the stream says where to go. Never several shards in one write: what was staged for a shard before it
 * was closed would be stored by a commit through another shard's subject, behind the end that readers know.
 *
 * Source: NATS ADR-50; measured on nats-server 2.15.1 (test/bus/shard-write.test.ts).
 */
import type { Msg } from 'nats'
import { type NewMessage, type PublishAnswer, sendTogether } from './atomic-write.ts'
import type { Bus, Outcome } from './bus.ts'
import { sentHeaders } from './sent-headers.ts'
import { type NewRecord, recordHeaders, type ShardAddress } from './shard-record.ts'
import { recordStream, shard as shardSubject } from './subjects.ts'

/**
 * `closed`: nothing was stored, the shard takes nothing (any more, or at this moment: it has no leader). `unanswered`: nobody
 * knows. `refused`: nothing was stored, by JetStream's own code.
 */
export type PutOutcome =
  | { sequence: number }
  | 'closed'
  | 'unanswered'
  | { refused: number; why: string }

export type ShardWriter = {
  put(address: ShardAddress, record: NewRecord): Promise<PutOutcome>
  /** In this order, and one right after the other where it is one write. Outcomes in the order of the records. */
  putMany(address: ShardAddress, records: readonly NewRecord[]): Promise<PutOutcome[]>
  stop(): void
}

/** One write costs the server as much as 16 single ones (measured: 3 ms for up to 30 records of 256 bytes, 0.2 ms for one). */
const fewestTogether = 16
/** nats-server has 50 batches of a stream open, whoever writes them (`max_batch_inflight_per_stream`). */
const mostBatchesOpen = 8
const ANSWER_TIMEOUT_MS = 5_000

export function openShardWriter(bus: Bus): ShardWriter {
  const link = openLink(bus)
  /** Batches that are on their way, by record stream. */
  const open = new Map<string, number>()
  const counted = (stream: string, more: 1 | -1) => {
    const now = (open.get(stream) ?? 0) + more
    if (now === 0) open.delete(stream)
    else open.set(stream, now)
  }

  const put = async (address: ShardAddress, record: NewRecord): Promise<PutOutcome> => {
    const { subject, body, headers = {} } = messageOf(address, record)
    const options = {
      headers: sentHeaders(...Object.entries(headers)),
      timeoutMs: ANSWER_TIMEOUT_MS,
    }
    return outcomeOf(await link.request(subject, body, options))
  }

  /** `undefined`: nothing was stored, and one by one each is told why. */
  const putTogether = async (
    address: ShardAddress,
    records: readonly NewRecord[],
  ): Promise<PutOutcome[] | undefined> => {
    const { stream } = address
    counted(stream, 1)
    try {
      const messages = records.map((record) => messageOf(address, record))
      const outcome = outcomeOf(await sendTogether(link, messages))
      if (typeof outcome === 'string') return records.map(() => outcome)
      if ('refused' in outcome) return undefined
      const first = outcome.sequence - records.length + 1
      return records.map((_, index) => ({ sequence: first + index }))
    } finally {
      counted(stream, -1)
    }
  }

  return {
    put,
    async putMany(address, records) {
      const isOneWrite =
        records.length >= fewestTogether && (open.get(address.stream) ?? 0) < mostBatchesOpen
      const together = isOneWrite ? await putTogether(address, records) : undefined
      return together ?? (await Promise.all(records.map((record) => put(address, record))))
    },
    stop: link.stop,
  }
}

/** What was asked over a link that broke is not answered over the next one: nobody waits for that. */
function openLink(bus: Bus): Pick<Bus, 'publish' | 'request'> & { stop(): void } {
  const sent = new Set<() => void>()
  const forget = bus.onReconnect(() => {
    for (const end of [...sent]) end()
  })
  return {
    publish: bus.publish,
    stop: forget,
    request: (subject, payload, options = {}) =>
      new Promise((resolve, reject) => {
        const isSent = bus.up
        const end = (outcome: Outcome) => {
          sent.delete(cut)
          resolve(outcome)
        }
        let unask = () => {}
        const cut = () => {
          unask()
          end('timeout')
        }
        try {
          unask = bus.ask(subject, payload, options, end)
          if (isSent) sent.add(cut)
        } catch (error) {
          reject(error)
        }
      }),
  }
}

function messageOf({ stream, incarnation, shard }: ShardAddress, record: NewRecord): NewMessage {
  return {
    subject: shardSubject(stream, incarnation, shard),
    body: record.data,
    // Whoever else has a stream for this subject does not get it.
    headers: { ...recordHeaders(record), 'Nats-Expected-Stream': recordStream(stream) },
  }
}

function outcomeOf(answer: Outcome): PutOutcome {
  if (answer === 'no responders') return 'closed'
  if (answer === 'timeout') return 'unanswered'
  const { seq = 0, error } = answerIn(answer)
  if (error === undefined) return { sequence: seq }
  // 503 is JetStream's own "not now": no leader yet, still recovering.
  return error.code === 503 ? 'unanswered' : { refused: error.err_code, why: error.description }
}

const answerIn = (answer: Msg): PublishAnswer => answer.json<PublishAnswer>()
