/**
 * Every knob once: its name in the environment, unit, default and the source of the default.
 *
 * Flags of the CLI win over the environment, the environment over the default. All complaints are made at once, before
 * anything is started.
 */

type Knob<T> = { env: string; fallback: T; read: (text: string) => T; why: string }

const text = (env: string, fallback: string, why: string): Knob<string> => ({
  env,
  fallback,
  read: (value) => value,
  why,
})

function number(env: string, fallback: number, range: [number, number], why: string): Knob<number> {
  return {
    env,
    fallback,
    why,
    read: (value) => {
      const parsed = Number(value)
      if (!Number.isInteger(parsed) || parsed < range[0] || parsed > range[1]) {
        throw new Error(
          `${env} must be a whole number from ${range[0]} to ${range[1]}, not '${value}'`,
        )
      }
      return parsed
    },
  }
}

function oneOf<Choice extends string>(
  env: string,
  fallback: Choice,
  choices: readonly Choice[],
  why: string,
): Knob<Choice> {
  return {
    env,
    fallback,
    why,
    read: (value) => {
      const chosen = choices.find((choice) => choice === value)
      if (chosen === undefined) {
        throw new Error(`${env} must be ${choices.join(' or ')}, not '${value}'`)
      }
      return chosen
    },
  }
}

export const knobs = {
  region: text('LAMBUS_REGION', 'us-east-1', "the AWS SDKs' own most common default"),
  account: text('LAMBUS_ACCOUNT', '000000000000', 'twelve digits that no AWS account has'),
  httpHost: text(
    'LAMBUS_HTTP_HOST',
    '127.0.0.1',
    'loopback: dev credentials are accepted only there',
  ),
  httpPort: number(
    'LAMBUS_HTTP_PORT',
    4566,
    [0, 65_535],
    'the port where tools look for a local AWS; 0 picks a free one',
  ),
  inspectorPort: number(
    'LAMBUS_INSPECTOR_PORT',
    4567,
    [0, 65_535],
    'next to the HTTP port; 0 picks a free one',
  ),
  natsPort: number('LAMBUS_NATS_PORT', 4222, [0, 65_535], "NATS's own default; 0 picks a free one"),
  dataDir: text('LAMBUS_DATA_DIR', './.lambus', 'beside the project that uses it'),
  accessKeyId: text(
    'LAMBUS_ACCESS_KEY_ID',
    'test',
    'dev credentials, accepted while HTTP is bound to loopback',
  ),
  secretAccessKey: text(
    'LAMBUS_SECRET_ACCESS_KEY',
    'test',
    'dev credentials, accepted while HTTP is bound to loopback',
  ),
  logLevel: text(
    'LAMBUS_LOG_LEVEL',
    'info',
    'pino level: trace, debug, info, warn, error, fatal, silent',
  ),
  logMaxAgeMs: number(
    'LAMBUS_LOG_MAX_AGE_MS',
    604_800_000,
    [60_000, 31_536_000_000],
    "how long functions' logs are kept: seven days, the weekly rhythm of people who look; CloudWatch keeps them for ever",
  ),
  logMaxBytes: number(
    'LAMBUS_LOG_MAX_BYTES',
    1_073_741_824,
    [1_048_576, 1_099_511_627_776],
    "bytes of functions' logs that are kept, whatever their age; the oldest go first. 1 GiB: a tenth of a small disk",
  ),
  logFlushMs: number(
    'LAMBUS_LOG_FLUSH_MS',
    200,
    [1, 60_000],
    'how long a line of a log waits for others before it is sent; a person who follows logs does not notice it',
  ),
  schedulingPolicy: oneOf(
    'LAMBUS_SCHEDULING_POLICY',
    'batch' as 'batch' | 'default',
    ['batch', 'default'],
    'batch, where Linux has chrt: processes of the system do not interrupt each other, and more invocations go through; default: as the system is started',
  ),
  workers: number(
    'LAMBUS_WORKERS',
    1,
    [1, 64],
    'worker processes that `lambus up` starts; a sandbox is a process of its own anyway',
  ),
  workerMemoryMb: number(
    'LAMBUS_WORKER_MEMORY_MB',
    0,
    [0, 4_194_304],
    "MB that a worker's sandboxes may hold together, as functions' MemorySize; 0: 90 % of the machine",
  ),
  concurrentStarts: number(
    'LAMBUS_CONCURRENT_STARTS',
    0,
    [0, 1024],
    'sandboxes that a worker starts at the same time; 0: one per core. A start is CPU work: more only make each slower',
  ),
  accountConcurrency: number(
    'LAMBUS_ACCOUNT_CONCURRENCY',
    1000,
    [1, 1_000_000],
    'AWS Lambda quotas: concurrent executions of an account',
  ),
  partitions: number(
    'LAMBUS_PARTITIONS',
    8,
    [1, 256],
    'pieces that worker managers share functions by; more spread finer and cost one lease each',
  ),
  leaseTtlMs: number(
    'LAMBUS_LEASE_TTL_MS',
    15_000,
    [2_000, 600_000],
    'a replicated bucket is 4–7 s without a leader after a crash, so 15 s; the dead are found by their missing heartbeat, much sooner',
  ),
  beatMs: number('LAMBUS_BEAT_MS', 300, [50, 10_000], 'heartbeat interval of every process'),
  silenceMs: number(
    'LAMBUS_SILENCE_MS',
    900,
    [100, 60_000],
    'silence after which a process is probed, and given up if the probe finds nobody: three beats',
  ),
  reconcileMs: number(
    'LAMBUS_RECONCILE_MS',
    10_000,
    [100, 3_600_000],
    'how often a copy in memory is compared with its bucket: a quiet watch can miss an update',
  ),
  lingerMs: number(
    'LAMBUS_LINGER_MS',
    1_000,
    [0, 600_000],
    'how long a front end keeps an unused reservation',
  ),
  keepAliveMs: number(
    'LAMBUS_KEEP_ALIVE_MS',
    600_000,
    [1_000, 86_400_000],
    'how long a sandbox nobody uses is kept: ten minutes, what users of AWS report; AWS documents no figure',
  ),
  initTimeoutMs: number(
    'LAMBUS_INIT_TIMEOUT_MS',
    10_000,
    [100, 900_000],
    'AWS Lambda Developer Guide, "Lambda execution environment": the init phase is limited to 10 s',
  ),
  reservationTimeoutMs: number(
    'LAMBUS_RESERVATION_TIMEOUT_MS',
    30_000,
    [100, 900_000],
    'how long an invocation waits for a sandbox before it is throttled; longer than an init that takes all its 10 s',
  ),
  sharedQueues: number(
    'LAMBUS_SHARED_QUEUES',
    4,
    [1, 256],
    'queues that functions without one of their own share; each uses two of them. All processes must agree on it',
  ),
  lanesPerQueue: number(
    'LAMBUS_LANES_PER_QUEUE',
    2,
    [1, 16],
    'pollers that a queue has, where there are as many: two, so that one may die',
  ),
  splitAt: number(
    'LAMBUS_SPLIT_AT',
    1_000,
    [1, 1_000_000],
    'events of a function waiting in shared queues from which on it gets a queue of its own: what a quick function does in a second, and a slow one in a minute',
  ),
  mergeAfterMs: number(
    'LAMBUS_MERGE_AFTER_MS',
    60_000,
    [100, 86_400_000],
    'how long a queue of a function has to be empty before the function shares queues again',
  ),
  firstRetryMs: number(
    'LAMBUS_FIRST_RETRY_MS',
    60_000,
    [0, 3_600_000],
    'AWS Lambda Developer Guide, "Asynchronous invocation": one minute before the second attempt',
  ),
  secondRetryMs: number(
    'LAMBUS_SECOND_RETRY_MS',
    120_000,
    [0, 3_600_000],
    'the same: two minutes before the third',
  ),
  eventBackOffMs: number(
    'LAMBUS_EVENT_BACK_OFF_MS',
    1_000,
    [10, 3_600_000],
    'the same: throttled events and failures of the system are tried again after 1 s, then twice as long each time',
  ),
  eventLongestBackOffMs: number(
    'LAMBUS_EVENT_LONGEST_BACK_OFF_MS',
    300_000,
    [10, 21_600_000],
    'the same: up to 5 minutes',
  ),
  recordBackOffMs: number(
    'LAMBUS_RECORD_BACK_OFF_MS',
    500,
    [1, 3_600_000],
    'a batch of records that failed is tried again after that, then twice as long each time; AWS documents no figure, 500 ms makes the eight attempts in 60 s that were recorded',
  ),
  recordLongestBackOffMs: number(
    'LAMBUS_RECORD_LONGEST_BACK_OFF_MS',
    60_000,
    [1, 3_600_000],
    'and not longer than this: AWS documents no figure; a shard whose function works again goes on within a minute',
  ),
  tellForMs: number(
    'LAMBUS_TELL_FOR_MS',
    86_400_000,
    [1_000, 1_209_600_000],
    'how long a destination or dead-letter queue that cannot be reached is tried: a day; then the event is kept for whoever looks',
  ),
  deadKeptMs: number(
    'LAMBUS_DEAD_KEPT_MS',
    1_209_600_000,
    [60_000, 31_536_000_000],
    'how long an event is kept whose end nobody was told: 14 days, the most that SQS keeps a message',
  ),
  shardLimit: number(
    'LAMBUS_SHARD_LIMIT',
    500,
    [1, 100_000],
    'open shards of all streams together: room for a stream of 200 and what a reshard of it needs meanwhile. Kinesis Data Streams quotas: 20,000 in the largest regions, which one machine does not serve',
  ),
  shardLimits: oneOf(
    'LAMBUS_SHARD_LIMITS',
    'off' as 'off' | 'on',
    ['off', 'on'],
    'on: what AWS allows for a shard, 1 MB/s or 1,000 records/s written, 2 MB/s in 5 requests read; each front end counts for itself. What is written to ON_DEMAND streams is not limited',
  ),
  streamSettleMs: number(
    'LAMBUS_STREAM_SETTLE_MS',
    500,
    [0, 600_000],
    'how long CREATING, UPDATING and DELETING last at least, so that clients see them: as in kinesalite; AWS takes some 10 s',
  ),
  drainTimeoutMs: number(
    'LAMBUS_DRAIN_TIMEOUT_MS',
    30_000,
    [0, 900_000],
    'how long SIGTERM waits for running invocations',
  ),
} satisfies Record<string, Knob<string> | Knob<number>>

export type Config = { [Name in keyof typeof knobs]: (typeof knobs)[Name]['fallback'] }

/** What is wrong with the settings, all of it. */
export class BadConfig extends Error {
  override readonly name = 'BadConfig'
  readonly code = 'CONFIG_INVALID'
}

/** `overrides` are the CLI's flags; `environment` is `process.env`. Throws BadConfig with every complaint. */
export function readConfig(
  environment: Record<string, string | undefined>,
  overrides: { [Name in keyof Config]?: Config[Name] | undefined } = {},
): Config {
  const complaints: string[] = []
  const values: Record<string, string | number> = {}
  for (const [name, knob] of Object.entries(knobs)) {
    const given = overrides[name as keyof Config] ?? environment[knob.env]
    try {
      values[name] = given === undefined || given === '' ? knob.fallback : knob.read(String(given))
    } catch (error) {
      complaints.push((error as Error).message)
    }
  }
  const config = values as Config
  if (!/^\d{12}$/.test(config.account ?? ''))
    complaints.push('LAMBUS_ACCOUNT must be twelve digits')
  const isDevKey = config.accessKeyId === 'test' && config.secretAccessKey === 'test'
  if (
    isDevKey &&
    config.httpHost !== '127.0.0.1' &&
    config.httpHost !== '::1' &&
    config.httpHost !== 'localhost'
  ) {
    complaints.push(
      'LAMBUS_HTTP_HOST is not loopback: set LAMBUS_ACCESS_KEY_ID and LAMBUS_SECRET_ACCESS_KEY to credentials of your own',
    )
  }
  if (complaints.length > 0) throw new BadConfig(complaints.join('\n'))
  return config
}

/** The settings as environment variables: how a process hands them to one that it starts. */
export const environmentOf = (config: Config): Record<string, string> =>
  Object.fromEntries(
    Object.entries(knobs).map(([name, { env }]) => [env, String(config[name as keyof Config])]),
  )
