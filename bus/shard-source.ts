/**
 * The records of a shard, in order, from a sequence or a time on: pushed as soon as they are stored, as many as there is room
 * for and no more. What waits, waits in its stream.
 *
 *     room for 200 ──"next 200"──▶ server ──record, record …──▶ taken ──room for 100 again──▶ "next 100" …
 *
 * It is a pull consumer without acknowledgements, asked before there is anything, so that a record need not be asked for.
 * Deliveries are counted by the consumer, so a lost one shows with the next, or with the next heartbeat. It does not repair
 * itself: it says `broken` once, and its owner opens another one where this one ended.
 * Source: NATS docs, "Consumers" (pull consumers, idle heartbeats); ADR-37; reference nats.md §3.
 */
import { AckPolicy, DeliverPolicy } from '@nats-io/jetstream'
import { createInbox, type Msg, nanos, nuid } from 'nats'
import type { Bus, Clock } from './bus.ts'
import { inboxPrefix, readDelivered } from './delivered.ts'
import { insist } from './insist.ts'
import { readRecord, type ShardAddress, type StoredRecord } from './shard-record.ts'
import { nextMessages, recordStream, shard } from './subjects.ts'

export type ShardSource = {
  /** There is more room than when it was asked for last. */
  more(): void
  stop(): void
}

export type ShardListener = {
  /** `pending`: how many follow it in the stream at this moment. */
  record(record: StoredRecord, pending: number): void
  /** How many records may still come, beside those that have. */
  room(): number
  /** Nothing is heard after this. */
  broken(why: string): void
}

const HEARTBEAT_MS = 3_000
/** Two heartbeats are missing. */
const SILENCE_MS = 2 * HEARTBEAT_MS + 1_000
const EXPIRES_MS = 30_000
/** Of a reader that vanished, or has had no room for so long. */
const ABANDONED_MS = 300_000
/** A record is smaller than a message may be; more than this comes with the next request. */
const MOST_BYTES = 16_777_216
const MOST_AT_ONCE = 1_000
/** How a request ends, with what it was not given in "Nats-Pending-Messages"; other ends are those of the consumer. */
const ends = ['Request Timeout', 'Batch Completed', 'Message Size Exceeds MaxBytes']

/** `pending`: how many records there were when it was opened. Throws BusError BUS_STORE_UNAVAILABLE, BUS_CLOSED. */
export async function openShardSource(
  bus: Bus,
  clock: Clock,
  address: ShardAddress,
  from: { after: number } | { atMs: number },
  listener: ShardListener,
): Promise<ShardSource & { pending: number }> {
  const stream = recordStream(address.stream)
  const inbox = createInbox(inboxPrefix(bus.nats))
  // Short: it is in the reply subject of every record.
  const name = `shard_${nuid.next().slice(-12)}`
  /** Asked for, and neither come nor refused. */
  let asked = 0
  /** When no more than that is, there may be room for another request. */
  let enough = 0
  let heard = 0
  let heardAtMs = clock.monotonicMs()
  let stopped = false
  let silence: unknown

  const stop = () => {
    if (stopped) return
    stopped = true
    clock.clearTimer(silence)
    subscription.stop()
    forgetReconnects()
    if (bus.up) void remove(bus, stream, name)
  }
  const broken = (why: string) => {
    if (stopped) return
    stop()
    listener.broken(why)
  }
  const listen = () => {
    const silentMs = clock.monotonicMs() - heardAtMs
    // Who asks for nothing is told nothing.
    if (asked > 0 && silentMs >= SILENCE_MS) broken('silence')
    else silence = clock.setTimer(listen, HEARTBEAT_MS)
  }

  const more = () => {
    if (stopped) return
    const room = Math.min(listener.room(), MOST_AT_ONCE)
    // Half of what there is room for, so that a request is not made for each record.
    if (room <= 0 || asked > room / 2) return
    const batch = room - asked
    if (asked === 0) heardAtMs = clock.monotonicMs()
    asked += batch
    enough = room / 2
    const request = {
      batch,
      expires: nanos(EXPIRES_MS),
      idle_heartbeat: nanos(HEARTBEAT_MS),
      max_bytes: MOST_BYTES,
    }
    bus.publish(nextMessages(stream, name), JSON.stringify(request), { reply: inbox })
  }

  const control = ({ headers }: Msg): void => {
    const code = headers?.code ?? 0
    if (code === 100) {
      const last = Number(headers?.get('Nats-Last-Consumer') || heard)
      if (last > heard) broken('a record is missing')
      return
    }
    const left = Number(headers?.get('Nats-Pending-Messages') || 0)
    const why = headers?.description ?? 'refused'
    if (!ends.includes(why)) {
      broken(why)
      return
    }
    asked = Math.max(0, asked - left)
    more()
  }

  const subscription = bus.subscribe(inbox, (message) => {
    if (stopped) return
    heardAtMs = clock.monotonicMs()
    if (message.reply === undefined || message.reply === '') {
      control(message)
      return
    }
    const { count, sequence, pending, storedAtMs } = readDelivered(message)
    if (count !== heard + 1) {
      broken('a record is missing')
      return
    }
    heard = count
    asked = Math.max(0, asked - 1)
    listener.record(readRecord(message, { sequence, storedAtMs }), pending)
    if (asked <= enough) more()
  })
  const forgetReconnects = bus.onReconnect(() => broken('the link was down'))

  try {
    const created = await insist(bus, `a consumer of ${stream}`, async () => {
      const manager = await bus.jetstreamManager()
      return await manager.consumers.add(stream, {
        name,
        filter_subject: shard(address.stream, address.incarnation, address.shard),
        ...startOf(from),
        ack_policy: AckPolicy.None,
        max_deliver: 1,
        max_waiting: 16,
        inactive_threshold: nanos(ABANDONED_MS),
        num_replicas: 1,
        mem_storage: true,
      })
    })
    listen()
    return { more, stop, pending: created.num_pending }
  } catch (error) {
    stop()
    throw error
  }
}

/** The last one that was stored in a shard, and is still there: 0 for none. Throws BusError BUS_STORE_UNAVAILABLE. */
export async function lastSequenceOfShard(bus: Bus, address: ShardAddress): Promise<number> {
  const subject = shard(address.stream, address.incarnation, address.shard)
  const last = await insist(bus, subject, async () => {
    const manager = await bus.jetstreamManager()
    return await manager.streams.getMessage(recordStream(address.stream), { last_by_subj: subject })
  })
  return last?.seq ?? 0
}

const startOf = (from: { after: number } | { atMs: number }) =>
  'atMs' in from
    ? {
        deliver_policy: DeliverPolicy.StartTime,
        opt_start_time: new Date(from.atMs).toISOString(),
      }
    : { deliver_policy: DeliverPolicy.StartSequence, opt_start_seq: from.after + 1 }

async function remove(bus: Bus, stream: string, name: string): Promise<void> {
  try {
    const manager = await bus.jetstreamManager()
    await manager.consumers.delete(stream, name)
  } catch {
    // Gone already, or it will be when nobody has asked it for a while.
  }
}
