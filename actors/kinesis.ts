/**
 * Kinesis: one call for every operation, whichever door it came through.
 *
 * Every front end puts, reads, lists and describes by itself: records are in JetStream, and which streams and shards there are
 * it knows from its copy of the tracker's directory. Changes it asks of the leading stream tracker.
 */
import { BusError } from '../bus/bus-error.ts'
import { openShardReader } from '../bus/shard-read.ts'
import { openShardWriter } from '../bus/shard-write.ts'
import { isKinesisRefusal, type KinesisRefusal } from '../edges/aws/kinesis-errors.ts'
import type { KinesisOperation } from '../edges/aws/kinesis-operations.ts'
import type { CallKinesis } from '../edges/http-kinesis.ts'
import {
  internalFailure,
  type KinesisBinding,
  type KinesisHandler,
  KinesisRefused,
} from './kinesis-binding.ts'
import { changeOperations } from './kinesis-change.ts'
import { consumerOperations } from './kinesis-consumers.ts'
import { listOperations } from './kinesis-list.ts'
import { putOperations } from './kinesis-put.ts'
import { readOperations } from './kinesis-read.ts'
import { shardOperations } from './kinesis-shards.ts'
import { subscribeOperations } from './kinesis-subscribe.ts'

export type Kinesis = {
  readonly counts: { calls: number; refused: number; failed: number }
  /** Never throws. */
  call: CallKinesis
  /** Ends subscriptions; what is called after this is still answered. */
  drain(): void
  stop(): Promise<void>
}

/** What a message of NATS has beside its body, and more than a record's headers take: a key of 256 characters in percents. */
const headerBytes = 4_096

export function openKinesis(
  options: Omit<KinesisBinding, 'writer' | 'reader' | 'mostRecordBytes'>,
): Kinesis {
  const { bus, log, newId } = options
  const reader = openShardReader(bus)
  const writer = openShardWriter(bus)
  const largestMessage = bus.nats.info?.max_payload ?? Number.POSITIVE_INFINITY
  const binding: KinesisBinding = {
    ...options,
    reader,
    writer,
    mostRecordBytes: largestMessage - headerBytes,
  }
  const counts = { calls: 0, refused: 0, failed: 0 }
  const subscribing = subscribeOperations(binding)
  const handlers: Record<KinesisOperation, KinesisHandler> = {
    ...putOperations(binding),
    ...readOperations(binding),
    ...shardOperations(binding),
    ...listOperations(binding),
    ...consumerOperations(binding),
    ...changeOperations(binding),
    ...subscribing.operations,
  }

  const failed = (operation: string, error: unknown): KinesisRefusal => {
    if (error instanceof KinesisRefused) return error.refusal
    counts.failed++
    const known = error instanceof BusError ? { cause: error.code } : {}
    log.error(
      { code: 'KINESIS_FAILED', id: newId(), operation, err: error, ...known },
      'an operation of Kinesis failed',
    )
    return internalFailure()
  }

  return {
    counts,
    async call(operation, input) {
      counts.calls++
      let told: object
      try {
        told = await handlers[operation](input)
      } catch (error) {
        told = failed(operation, error)
      }
      if (isKinesisRefusal(told)) counts.refused++
      return told
    },
    drain: subscribing.drain,
    async stop() {
      subscribing.drain()
      subscribing.stop()
      reader.stop()
      writer.stop()
    },
  }
}
