/** A record stream as the tracker makes it, and a shard of it closed as the tracker closes one. */
import { RetentionPolicy, StorageType } from '@nats-io/jetstream'
import { nanos } from 'nats'
import type { Bus } from '../../bus/bus.ts'
import { recordStream, shard as shardSubject } from '../../bus/subjects.ts'

const subjectsOf = (stream: string, incarnation: string, shards: readonly number[]) =>
  shards.map((index) => shardSubject(stream, incarnation, index))

export async function makeRecordStream(
  bus: Bus,
  { stream, incarnation, open }: { stream: string; incarnation: string; open: readonly number[] },
): Promise<void> {
  const manager = await bus.jetstreamManager()
  await manager.streams.add({
    name: recordStream(stream),
    subjects: subjectsOf(stream, incarnation, open),
    retention: RetentionPolicy.Limits,
    storage: StorageType.File,
    max_age: nanos(86_400_000),
    allow_direct: true,
    allow_atomic: true,
    metadata: { incarnation },
  })
}

/** From now on only these are open. Gives where those that are closed by it end. */
export async function openOnly(
  bus: Bus,
  { stream, incarnation, open }: { stream: string; incarnation: string; open: readonly number[] },
): Promise<number> {
  const manager = await bus.jetstreamManager()
  const subjects = subjectsOf(stream, incarnation, open)
  await manager.streams.update(recordStream(stream), { subjects })
  // What was in the server's queue by then is stored first: this waits behind it, and is refused.
  const expect = { streamName: '-' }
  await bus.jetstream.publish(subjects[0] as string, '', { expect }).catch(() => {})
  return (await manager.streams.info(recordStream(stream))).state.last_seq
}
