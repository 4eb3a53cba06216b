/**
 * Metrics of what pollers read for event source mappings, as Prometheus reads them: `lambus_<name>{function_name, stream,
 * shard}`, with AWS's names in snake case where AWS has one.
 *
 * Each is computed when it is asked for, from what pollers say. A counter begins at zero again when a shard moves to another
 * poller, which Prometheus takes for what it is.
 * Source: AWS Lambda Developer Guide, "Types of metrics for Lambda functions"; Prometheus, "Exposition formats".
 */
import { Counter, Gauge, Registry } from 'prom-client'

/** What has become of the batches of one shard, since a poller holds it. */
export type ShardCounts = {
  /** Attempts, whatever came of them. */
  batches: number
  /** Of all attempts, repeated ones too. */
  recordsTried: number
  /** Those that the function was done with. */
  records: number
  retries: number
  invokeErrors: number
  throttles: number
  /** Records that were given up. */
  discarded: number
  /** Records that no filter let through. */
  filtered: number
  /** Of the last record of the last batch, when it was done with. Source: lambda-semantics.md §5.7. */
  iteratorAgeMs: number
}

/** Sequences are those of the record stream. */
export type ShardFigures = ShardCounts & {
  functionName: string
  stream: string
  shard: number
  lanes: number
  /** Records that are not done with. */
  behindRecords: number
  /** How long ago the oldest of them arrived. */
  behindMs: number
  /** It was taken over long behind: as far as it has come, where the stream ended then. */
  rereading?: { to: number; at: number }
}

type Figure = {
  name: string
  help: string
  isCounter?: boolean
  of: (shard: ShardFigures) => number
}

const figures: Figure[] = [
  {
    name: 'lambus_iterator_age_milliseconds',
    help: 'Age of the last record of the last batch when it was done with; of a batch that does not succeed, of its oldest record.',
    of: ({ iteratorAgeMs }) => iteratorAgeMs,
  },
  {
    name: 'lambus_batch_size_count',
    help: 'Batches that a function was invoked with, repeated ones too.',
    isCounter: true,
    of: ({ batches }) => batches,
  },
  {
    name: 'lambus_batch_size_sum',
    help: 'Records of these batches.',
    isCounter: true,
    of: ({ recordsTried }) => recordsTried,
  },
  {
    name: 'lambus_stream_records_total',
    help: 'Records of batches that succeeded.',
    isCounter: true,
    of: ({ records }) => records,
  },
  {
    name: 'lambus_stream_retries_total',
    help: 'Batches that came back, whatever the reason.',
    isCounter: true,
    of: ({ retries }) => retries,
  },
  {
    name: 'lambus_stream_errors_total',
    help: 'Batches that the function failed for.',
    isCounter: true,
    of: ({ invokeErrors }) => invokeErrors,
  },
  {
    name: 'lambus_stream_throttles_total',
    help: 'Batches that were throttled.',
    isCounter: true,
    of: ({ throttles }) => throttles,
  },
  {
    name: 'lambus_stream_records_discarded_total',
    help: 'Records that were given up.',
    isCounter: true,
    of: ({ discarded }) => discarded,
  },
  {
    name: 'lambus_stream_records_filtered_total',
    help: 'Records that match no filter, and were passed over.',
    isCounter: true,
    of: ({ filtered }) => filtered,
  },
  {
    name: 'lambus_shard_lanes',
    help: 'Batches of the shard that may run at the same time.',
    of: ({ lanes }) => lanes,
  },
  {
    name: 'lambus_checkpoint_lag_records',
    help: 'Records that are not done with.',
    of: ({ behindRecords }) => behindRecords,
  },
  {
    name: 'lambus_checkpoint_lag_milliseconds',
    help: 'Age of the oldest record that is not done with.',
    of: ({ behindMs }) => behindMs,
  },
  {
    name: 'lambus_shard_rereading',
    help: 'Sequence numbers left to where the stream ended when the shard was taken over, while it is far from there.',
    of: ({ rereading }) => (rereading === undefined ? 0 : rereading.to - rereading.at),
  },
]

const labelNames = ['function_name', 'stream', 'shard'] as const

export type StreamMetrics = { contentType: string; text(): Promise<string> }

export function streamMetrics(shards: () => readonly ShardFigures[]): StreamMetrics {
  const registry = new Registry()
  const metrics = figures.map(({ name, help, isCounter, of }) => {
    const options = { name, help, labelNames, registers: [registry] }
    return { metric: isCounter === true ? new Counter(options) : new Gauge(options), of }
  })
  return {
    contentType: registry.contentType,
    text() {
      const all = shards()
      for (const { metric, of } of metrics) {
        metric.reset()
        for (const each of all) {
          const { functionName, stream, shard } = each
          metric.inc({ function_name: functionName, stream, shard: String(shard) }, of(each))
        }
      }
      return registry.metrics()
    },
  }
}
