/**
 * Event source mappings of Kinesis streams, one sentence of AWS's per test. Sections are those of lambda-semantics.md; tests
 * named are LocalStack's TestLambdaEventSourceMappings, TestKinesisSource and TestLambdaTag, recorded on AWS (2025-11).
 *
 * The stream tracker, which keeps mappings, is STOOD IN FOR here (mapping-tracker.ts); everything else is real.
 */
import {
  CreateEventSourceMappingCommand,
  CreateFunctionCommand,
  DeleteEventSourceMappingCommand,
  DeleteFunctionCommand,
  GetEventSourceMappingCommand,
  ListEventSourceMappingsCommand,
  ListTagsCommand,
  TagResourceCommand,
  UntagResourceCommand,
  UpdateEventSourceMappingCommand,
} from '@aws-sdk/client-lambda'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { arnOf, type ControlPlane, createInput, startControlPlane } from './control-plane.ts'
import { consumer, startTrackerStandIn, type TrackerStandIn } from './mapping-tracker.ts'

let plane: ControlPlane
let tracker: TrackerStandIn
let count = 0
let fn: string
let stream: string
beforeAll(async () => {
  plane = await startControlPlane()
  tracker = await startTrackerStandIn(plane.bus)
  await plane.makeQueue('failures')
})
afterAll(async () => {
  tracker.stop()
  await plane.stop()
})
beforeEach(async () => {
  fn = `f${++count}`
  stream = `s${count}`
  tracker.lag(0)
  await send(new CreateFunctionCommand(createInput(fn)))
  await tracker.makeStream(stream, { consumers: [consumer('c')] })
})

// biome-ignore lint/suspicious/noExplicitAny: commands of many kinds go through one client
const send = (command: any): Promise<any> => plane.client.send(command)
const streamArn = (name = stream) => `arn:aws:kinesis:us-east-1:000000000000:stream/${name}`
const sqs = (name: string) => `arn:aws:sqs:us-east-1:000000000000:${name}`
const mappingArn = (uuid: string) =>
  `arn:aws:lambda:us-east-1:000000000000:event-source-mapping:${uuid}`
const missing = '01234567-89ab-cdef-0123-456789abcdef'

// biome-ignore lint/suspicious/noExplicitAny: also what the SDK's types do not allow
const create = (more: any = {}) =>
  send(
    new CreateEventSourceMappingCommand({
      FunctionName: fn,
      EventSourceArn: streamArn(),
      StartingPosition: 'LATEST',
      ...more,
    }),
  )
const get = (UUID: string) => send(new GetEventSourceMappingCommand({ UUID }))
const remove = (UUID: string) => send(new DeleteEventSourceMappingCommand({ UUID }))
// biome-ignore lint/suspicious/noExplicitAny: also what the SDK's types do not allow
const update = (UUID: string, more: any) =>
  send(new UpdateEventSourceMappingCommand({ UUID, ...more }))
const list = (more: object = {}) => send(new ListEventSourceMappingsCommand(more))
/** One that is through with being made. */
const made = async (more: object = {}): Promise<string> => {
  const { UUID } = await create(more)
  await tracker.settle()
  await shown(UUID, 'Enabled', 'Disabled')
  return UUID
}
const shown = (uuid: string, ...states: string[]) =>
  expect.poll(async () => states.includes((await get(uuid)).State)).toBe(true)
const last = () => tracker.heard.at(-1)

const refusedAs = (Code: string, status: number, message: string) => ({
  name: Code,
  message,
  $metadata: { httpStatusCode: status },
})
const invalid = (message: string) => refusedAs('InvalidParameterValueException', 400, message)
const misshapen = (message: string) =>
  refusedAs('ValidationException', 400, `1 validation error detected: ${message}`)
const notFound = (message: string) => refusedAs('ResourceNotFoundException', 404, message)
const noMapping = notFound('The resource you requested does not exist.')

const answer = (status: number, more: object = {}) => ({
  $metadata: expect.objectContaining({ httpStatusCode: status }),
  BatchSize: 100,
  BisectBatchOnFunctionError: false,
  DestinationConfig: { OnFailure: {} },
  EventSourceArn: streamArn(),
  EventSourceMappingArn: expect.stringMatching(/:event-source-mapping:[\da-f-]{36}$/),
  FunctionArn: arnOf(fn),
  FunctionResponseTypes: [],
  LastModified: expect.any(Date),
  LastProcessingResult: 'No records processed',
  MaximumBatchingWindowInSeconds: 0,
  MaximumRecordAgeInSeconds: -1,
  MaximumRetryAttempts: -1,
  ParallelizationFactor: 1,
  StartingPosition: 'LATEST',
  State: 'Creating',
  StateTransitionReason: 'User action',
  TumblingWindowInSeconds: 0,
  UUID: expect.stringMatching(/^[\da-f-]{36}$/),
  ...more,
})

describe('a mapping that is made', () => {
  // test_create_kinesis_event_source_mapping; §5.1 for the defaults
  test('is told with 202 and all that it has', async () => {
    const told = await create()
    expect(told).toEqual(answer(202))
    expect(told.EventSourceMappingArn).toBe(mappingArn(told.UUID))
    expect(await get(told.UUID)).toEqual(answer(200))
  })

  // §5.1: the members' order as recorded, times as numbers of seconds
  test('is told over NATS in the recorded order', async () => {
    const { FunctionName, ...given } = { FunctionName: fn, EventSourceArn: streamArn() }
    const body = JSON.stringify({
      FunctionName,
      ...given,
      StartingPosition: 'AT_TIMESTAMP',
      StartingPositionTimestamp: 1_700_000_000.25,
      FilterCriteria: { Filters: [{ Pattern: '{"data":{"a":[1]}}' }] },
    })
    const told = await plane.bus.request('lambus.api.CreateEventSourceMapping', body, {
      timeoutMs: 20_000,
    })
    if (typeof told === 'string') throw new Error(told)
    const record = told.json<Record<string, unknown>>()
    expect(Object.keys(record)).toEqual([
      'BatchSize',
      'BisectBatchOnFunctionError',
      'DestinationConfig',
      'EventSourceArn',
      'EventSourceMappingArn',
      'FilterCriteria',
      'FunctionArn',
      'FunctionResponseTypes',
      'LastModified',
      'LastProcessingResult',
      'MaximumBatchingWindowInSeconds',
      'MaximumRecordAgeInSeconds',
      'MaximumRetryAttempts',
      'ParallelizationFactor',
      'StartingPosition',
      'StartingPositionTimestamp',
      'State',
      'StateTransitionReason',
      'TumblingWindowInSeconds',
      'UUID',
    ])
    expect(record['StartingPositionTimestamp']).toBe(1_700_000_000.25)
    expect(Math.abs(Number(record['LastModified']) - Date.now() / 1_000)).toBeLessThan(60)
    expect(told.headers?.get('Lambus-Status')).toBe('202')
  })

  // §5.1
  test('has everything that it was given, and gives it to the tracker in milliseconds', async () => {
    const given = {
      BatchSize: 10_000,
      BisectBatchOnFunctionError: true,
      DestinationConfig: { OnFailure: { Destination: sqs('failures') } },
      FunctionResponseTypes: ['ReportBatchItemFailures'],
      MaximumBatchingWindowInSeconds: 300,
      MaximumRecordAgeInSeconds: 604_800,
      MaximumRetryAttempts: 10_000,
      ParallelizationFactor: 10,
      StartingPosition: 'AT_TIMESTAMP',
      StartingPositionTimestamp: new Date(1_700_000_000_000),
      FilterCriteria: { Filters: [{ Pattern: '{"data":{"kind":["order"]}}' }] },
    }
    expect(await create({ ...given, Tags: { a: 'b' } })).toEqual(answer(202, given))
    expect(last()).toMatchObject({
      type: 'create',
      isEnabled: true,
      record: {
        functionName: fn,
        functionArn: arnOf(fn),
        sourceArn: streamArn(),
        stream,
        startingPosition: 'AT_TIMESTAMP',
        startingTimestampMs: 1_700_000_000_000,
        settings: {
          batchSize: 10_000,
          batchingWindowMs: 300_000,
          parallelizationFactor: 10,
          bisectsOnError: true,
          maximumRetryAttempts: 10_000,
          maximumRecordAgeMs: 604_800_000,
          tumblingWindowMs: 0,
          reportsItemFailures: true,
          filters: ['{"data":{"kind":["order"]}}'],
          onFailure: sqs('failures'),
        },
        tags: { a: 'b' },
      },
    })
  })

  test('may have the least of everything, and a window', async () => {
    const given = {
      BatchSize: 1,
      MaximumRecordAgeInSeconds: 60,
      MaximumRetryAttempts: 0,
      TumblingWindowInSeconds: 900,
      StartingPosition: 'TRIM_HORIZON',
    }
    expect(await create(given)).toEqual(answer(202, given))
  })

  // test_kinesis_empty_provided, test_create_event_filter_criteria_validation
  test.each([{ Filters: [] }, {}])('drops an empty FilterCriteria: %j', async (FilterCriteria) => {
    expect(await create({ FilterCriteria })).toEqual(answer(202))
  })

  // test_function_name_variations
  test.each<[string, (name: string) => string, string]>([
    ['name', (name) => name, ''],
    ['name with $LATEST', (name) => `${name}:$LATEST`, ':$LATEST'],
    ['partial ARN', (name) => `000000000000:function:${name}`, ''],
    ['ARN', arnOf, ''],
    ['ARN with $LATEST', (name) => `${arnOf(name)}:$LATEST`, ':$LATEST'],
  ])('keeps its function’s qualifier as it was given: %s', async (_, name, qualifier) => {
    expect((await create({ FunctionName: name(fn) })).FunctionArn).toBe(`${arnOf(fn)}${qualifier}`)
  })

  // §5.1: Enabled
  test('may be disabled', async () => {
    await create({ Enabled: false })
    expect(last()).toMatchObject({ type: 'create', isEnabled: false })
  })

  // Kinesis API, Consumer: the ARN has the consumer's creation in seconds
  test('may read through a consumer', async () => {
    const EventSourceArn = `${streamArn()}/consumer/c:1789807946`
    expect(await create({ EventSourceArn })).toEqual(answer(202, { EventSourceArn }))
    expect(last()).toMatchObject({ record: { stream, sourceArn: EventSourceArn } })
  })

  test('may tell a topic or, here, a subject of failures', async () => {
    for (const Destination of [
      'arn:aws:sns:us-east-1:000000000000:topic',
      'arn:lambus:nats:::my.failures',
    ]) {
      const DestinationConfig = { OnFailure: { Destination } }
      const UUID = (await create({ DestinationConfig })).UUID
      expect((await get(UUID)).DestinationConfig).toEqual(DestinationConfig)
      await remove(UUID)
      await tracker.settle()
    }
  })

  // test_event_source_mapping_lifecycle_delete_function
  test('survives its function', async () => {
    const UUID = await made()
    await send(new DeleteFunctionCommand({ FunctionName: fn }))
    expect(await get(UUID)).toEqual(answer(200, { State: 'Enabled' }))
    expect(await remove(UUID)).toEqual(answer(202, { State: 'Deleting' }))
  })

  // ours: who is told can read
  test('is told when it can be read here', async () => {
    tracker.lag(300)
    const { UUID } = await create()
    expect((await get(UUID)).UUID).toBe(UUID)
    expect((await list({ FunctionName: fn })).EventSourceMappings).toHaveLength(1)
  })

  // ours: the tracker was asked twice
  test('does not stand in its own way', async () => {
    tracker.answerNext('as usual, and forgotten')
    expect(await create()).toEqual(answer(202))
  })
})

describe('a mapping is refused', () => {
  // create_no_event_source_arn
  test('without a source, whether or not there is such a function', async () => {
    const given = { FunctionName: 'doesnotexist', EventSourceArn: undefined }
    await expect(create(given)).rejects.toMatchObject(invalid('Unrecognized event source.'))
  })

  test.each([
    'arn:aws:s3:::bucket',
    'arn:aws:kinesis:us-east-1:000000000000:table/t',
    'arn:aws:kinesis:us-east-1:000000000000:stream/s/consumer/c',
    'arn:aws:firehose:us-east-1:000000000000:deliverystream/s',
  ])('for a source that is none: %s', async (EventSourceArn) => {
    await expect(create({ EventSourceArn })).rejects.toMatchObject(
      invalid('Unrecognized event source.'),
    )
  })

  // create_unknown_params
  test.each([
    { FunctionName: 'doesnotexist' },
    { FunctionName: 'doesnotexist', EventSourceArn: sqs('somequeue') },
  ])('for a function that is not there: %j', async (given) => {
    await expect(create(given)).rejects.toMatchObject(invalid('Function does not exist'))
  })

  test('for a version or an alias: lambus publishes none', async () => {
    for (const FunctionName of [`${fn}:1`, `${arnOf(fn)}:prod`]) {
      await expect(create({ FunctionName })).rejects.toMatchObject(
        invalid('Function does not exist'),
      )
    }
  })

  // destination_config_failure: before the function is looked for
  test('with a destination for successes', async () => {
    const DestinationConfig = { OnSuccess: { Destination: sqs('failures') } }
    await expect(
      create({ FunctionName: 'doesnotexist', EventSourceArn: sqs('somequeue'), DestinationConfig }),
    ).rejects.toMatchObject(
      invalid('Unsupported DestinationConfig parameter for given event source mapping type.'),
    )
  })

  // test_esm_with_not_existing_kinesis_stream
  test.each([
    'arn:aws:kinesis:us-east-1:000000000000:stream/missing',
    'arn:aws:kinesis:us-east-1:111111111111:stream/missing',
    'arn:aws:kinesis:eu-west-1:000000000000:stream/missing',
    'arn:aws:kinesis:us-east-1:000000000000:stream/missing/consumer/c:1789807946',
  ])('for a stream that is not there: %s', async (EventSourceArn) => {
    await expect(create({ EventSourceArn })).rejects.toMatchObject(
      invalid(`Stream not found: ${EventSourceArn}`),
    )
  })

  test.each(['c:1789807947', 'd:1789807946'])(
    'for a consumer that is not there: %s',
    async (name) => {
      const EventSourceArn = `${streamArn()}/consumer/${name}`
      await expect(create({ EventSourceArn })).rejects.toMatchObject(
        invalid(`Stream not found: ${EventSourceArn}`),
      )
    },
  )

  test('for a stream that is being deleted', async () => {
    await tracker.makeStream('going', { status: 'DELETING' })
    await expect
      .poll(() => create({ EventSourceArn: streamArn('going') }).catch(String))
      .toContain('Stream not found')
  })

  // test_duplicate_event_source_mappings
  test('for what is mapped already', async () => {
    const { UUID } = await create()
    await expect(create()).rejects.toMatchObject(
      refusedAs(
        'ResourceConflictException',
        409,
        `The event source arn (" ${streamArn()} ") and function (" ${fn} ") provided mapping already exists. Please update or delete the existing mapping with UUID ${UUID}`,
      ),
    )
  })

  // test_create_event_source_validation_kinesis
  test('without a starting position, or with one that there is not', async () => {
    await expect(create({ StartingPosition: undefined })).rejects.toMatchObject(
      invalid(
        "1 validation error detected: Value null at 'startingPosition' failed to satisfy constraint: Member must not be null.",
      ),
    )
    await expect(create({ StartingPosition: 'invalid' })).rejects.toMatchObject(
      misshapen(
        "Value 'invalid' at 'startingPosition' failed to satisfy constraint: Member must satisfy enum value set: [LATEST, AT_TIMESTAMP, TRIM_HORIZON]",
      ),
    )
  })

  // reports of CloudFormation's users; Lambda API, CreateEventSourceMapping
  test('with a time that does not fit the starting position', async () => {
    await expect(create({ StartingPosition: 'AT_TIMESTAMP' })).rejects.toMatchObject(
      invalid('Need to specify a timestamp'),
    )
    await expect(create({ StartingPositionTimestamp: new Date(0) })).rejects.toMatchObject(
      invalid('StartingPositionTimestamp is only valid if StartingPosition is AT_TIMESTAMP.'),
    )
    const future = new Date(Date.now() + 60_000)
    await expect(
      create({ StartingPosition: 'AT_TIMESTAMP', StartingPositionTimestamp: future }),
    ).rejects.toMatchObject(invalid('StartingPositionTimestamp cannot be in the future.'))
  })

  // §5.1: ranges of the service model
  test.each<[object, string]>([
    [
      { BatchSize: 0 },
      "Value '0' at 'batchSize' failed to satisfy constraint: Member must have value greater than or equal to 1",
    ],
    [
      { BatchSize: 10_001 },
      "Value '10001' at 'batchSize' failed to satisfy constraint: Member must have value less than or equal to 10000",
    ],
    [
      { MaximumBatchingWindowInSeconds: 301 },
      "Value '301' at 'maximumBatchingWindowInSeconds' failed to satisfy constraint: Member must have value less than or equal to 300",
    ],
    [
      { ParallelizationFactor: 11 },
      "Value '11' at 'parallelizationFactor' failed to satisfy constraint: Member must have value less than or equal to 10",
    ],
    [
      { MaximumRetryAttempts: -2 },
      "Value '-2' at 'maximumRetryAttempts' failed to satisfy constraint: Member must have value greater than or equal to -1",
    ],
    [
      { MaximumRetryAttempts: 10_001 },
      "Value '10001' at 'maximumRetryAttempts' failed to satisfy constraint: Member must have value less than or equal to 10000",
    ],
    [
      { MaximumRecordAgeInSeconds: 604_801 },
      "Value '604801' at 'maximumRecordAgeInSeconds' failed to satisfy constraint: Member must have value less than or equal to 604800",
    ],
    [
      { TumblingWindowInSeconds: 901 },
      "Value '901' at 'tumblingWindowInSeconds' failed to satisfy constraint: Member must have value less than or equal to 900",
    ],
    [
      { FunctionResponseTypes: ['Other'] },
      "Value '[Other]' at 'functionResponseTypes' failed to satisfy constraint: Member must satisfy constraint: [Member must satisfy enum value set: [ReportBatchItemFailures], Member must not be null]",
    ],
    [
      {
        FilterCriteria: {
          Filters: [{ Pattern: '{"data":{"a":[1]}}' }, { Pattern: 'x'.repeat(4_097) }],
        },
      },
      `Value '${'x'.repeat(4_097)}' at 'filterCriteria.filters.2.member.pattern' failed to satisfy constraint: Member must have length less than or equal to 4096`,
    ],
    [
      { FunctionName: 'a b' },
      expect.stringMatching(
        /^Value 'a b' at 'functionName' failed to satisfy constraint: Member must satisfy regular expression pattern: /,
      ),
    ],
    [
      { EventSourceArn: 'stream' },
      expect.stringMatching(
        /^Value 'stream' at 'eventSourceArn' failed to satisfy constraint: Member must satisfy regular expression pattern: /,
      ),
    ],
  ])('for what the service model does not allow: %#', async (given, sentence) => {
    const refusal = await create(given).catch((error: Error) => error)
    expect(refusal).toMatchObject({ name: 'ValidationException' })
    expect(refusal.message.replace('1 validation error detected: ', '')).toEqual(sentence)
  })

  // §5.1: −1 or 60–604,800
  test.each([0, 59])('for a record age of %d seconds', async (MaximumRecordAgeInSeconds) => {
    await expect(create({ MaximumRecordAgeInSeconds })).rejects.toMatchObject(
      invalid('MaximumRecordAgeInSeconds must be -1 or between 60 and 604800.'),
    )
  })

  // test_dynamodb_invalid_event_filter, test_sqs_invalid_event_filter; the matching itself is in filter-pattern.test.ts
  test.each([
    'single-string',
    '[{"eventName": ["INSERT"=123}]',
    'null',
    '"simple string"',
    '{"eventSource": "aws:sqs"}',
    '{"eventSource": []}',
    '',
    '{"data":{"a":[{"unknown":1}]}}',
  ])('for a filter that is none: %s', async (Pattern) => {
    await expect(create({ FilterCriteria: { Filters: [{ Pattern }] } })).rejects.toMatchObject(
      invalid('Invalid filter pattern definition.'),
    )
  })

  // Lambda Developer Guide, "Event filtering": five; the sentence is ours
  test('for more than five filters', async () => {
    const filters = (length: number) => ({
      FilterCriteria: {
        Filters: Array.from({ length }, () => ({ Pattern: '{"data":{"a":[1]}}' })),
      },
    })
    await expect(create(filters(6))).rejects.toMatchObject(
      invalid('FilterCriteria can have at most 5 filters.'),
    )
    expect((await create(filters(5))).FilterCriteria.Filters).toHaveLength(5)
  })

  // §5.1, stackd's dynamodb_windows.json; the sentences are ours
  test('for a tumbling window with lanes or filters', async () => {
    await expect(
      create({ TumblingWindowInSeconds: 60, ParallelizationFactor: 2 }),
    ).rejects.toMatchObject(
      invalid('TumblingWindowInSeconds cannot be used with a ParallelizationFactor above 1.'),
    )
    const FilterCriteria = { Filters: [{ Pattern: '{"data":{"a":[1]}}' }] }
    await expect(create({ TumblingWindowInSeconds: 60, FilterCriteria })).rejects.toMatchObject(
      invalid('TumblingWindowInSeconds cannot be used with FilterCriteria.'),
    )
  })

  // §5.1: Lambda API, CreateEventSourceMapping, says of each which sources have it
  test.each<[string, unknown]>([
    ['Topics', ['topic']],
    ['Queues', ['queue']],
    ['SourceAccessConfigurations', [{ Type: 'BASIC_AUTH', URI: 'u' }]],
    ['SelfManagedEventSource', { Endpoints: { KAFKA_BOOTSTRAP_SERVERS: ['kafka:1000'] } }],
    ['AmazonManagedKafkaEventSourceConfig', { ConsumerGroupId: 'g' }],
    ['SelfManagedKafkaEventSourceConfig', { ConsumerGroupId: 'g' }],
    ['ScalingConfig', { MaximumConcurrency: 2 }],
    ['DocumentDBEventSourceConfig', { DatabaseName: 'd' }],
    ['ProvisionedPollerConfig', { MinimumPollers: 1 }],
    ['LoggingConfig', { SystemLogLevel: 'INFO' }],
  ])('with %s, which streams do not have', async (member, value) => {
    await expect(create({ [member]: value })).rejects.toMatchObject(
      invalid(`Unsupported ${member} parameter for given event source mapping type.`),
    )
  })

  // ours: nothing is accepted that is not honoured
  test.each<[object, string]>([
    [
      { KMSKeyArn: 'arn:aws:kms:us-east-1:000000000000:key/k' },
      'lambus does not encrypt with customer managed keys (KMSKeyArn).',
    ],
    [
      { MetricsConfig: { Metrics: ['EventCount'] } },
      'lambus does not count the events of single mappings (MetricsConfig).',
    ],
  ])('with what lambus does not honour: %j', async (given, sentence) => {
    await expect(create(given)).rejects.toMatchObject(invalid(sentence))
  })

  test('with what nobody knows', async () => {
    const ask = async (more: object) => {
      const body = JSON.stringify({
        FunctionName: fn,
        EventSourceArn: streamArn(),
        StartingPosition: 'LATEST',
        ...more,
      })
      const told = await plane.bus.request('lambus.api.CreateEventSourceMapping', body, {
        timeoutMs: 20_000,
      })
      return typeof told === 'string' ? told : told.json<{ message: string }>().message
    }
    expect(await ask({ BatchSze: 1 })).toBe('lambus does not know the setting BatchSze.')
    expect(await ask({ DestinationConfig: { OnFail: {} } })).toBe(
      'lambus does not know the setting DestinationConfig.OnFail.',
    )
    expect(await ask({ FilterCriteria: { Filters: [{ Pattrn: '{}' }] } })).toBe(
      'lambus does not know the setting FilterCriteria.Filters.Pattrn.',
    )
  })

  // Lambda Developer Guide, "Kinesis parameters": SQS, SNS and S3; lambus does not deliver to S3 and Kafka. The sentence is
  // that recorded for event invoke configs.
  test.each([
    'arn:aws:s3:::bucket',
    'kafka://topic',
    'arn:aws:events:us-east-1:000000000000:event-bus/default',
    'arn:aws:lambda:us-east-1:000000000000:function:other',
  ])('with a destination that failures do not go to: %s', async (Destination) => {
    await expect(
      create({ DestinationConfig: { OnFailure: { Destination } } }),
    ).rejects.toMatchObject(
      invalid(
        `The provided destination config DestinationConfig(onSuccess=null, onFailure=OnFailure(destination=${Destination})) is invalid.`,
      ),
    )
  })

  // §5.1: FIFO rejected; §4.2 for the sentences
  test('with a queue that is not there, or with first-in-first-out', async () => {
    for (const Destination of [sqs('missing'), sqs('failures.fifo')]) {
      await expect(
        create({ DestinationConfig: { OnFailure: { Destination } } }),
      ).rejects.toMatchObject(invalid(`The destination ARN ${Destination} is invalid.`))
    }
    const topic = 'arn:aws:sns:us-east-1:000000000000:topic.fifo'
    await expect(
      create({ DestinationConfig: { OnFailure: { Destination: topic } } }),
    ).rejects.toMatchObject(
      invalid("FIFO-type Amazon SNS topics aren't supported as a destination."),
    )
  })

  // AWS General Reference, "Tag naming limits"
  test('with tags that there cannot be', async () => {
    await expect(create({ Tags: { 'aws:a': 'b' } })).rejects.toMatchObject(
      invalid('aws: prefixed tag key names are not allowed for external use.'),
    )
  })

  // ours: sources that AWS has and lambus does not read
  test.each([
    ['sqs', sqs('failures')],
    ['dynamodb', 'arn:aws:dynamodb:us-east-1:000000000000:table/t/stream/2025-02-22T03:03:25.490'],
    [
      'kafka',
      'arn:aws:kafka:us-east-1:000000000000:cluster/c/01234567-89ab-cdef-0123-456789abcdef-1',
    ],
    ['mq', 'arn:aws:mq:us-east-1:000000000000:broker:b:b-01234567-89ab-cdef-0123-456789abcdef'],
    ['rds', 'arn:aws:rds:us-east-1:000000000000:cluster:c'],
  ])('for %s, which lambus does not read from yet', async (service, EventSourceArn) => {
    await expect(create({ EventSourceArn })).rejects.toMatchObject(
      invalid(`lambus does not read from ${service} yet (EventSourceArn).`),
    )
  })

  // test_create_event_source_validation, missing-source-access-configuration
  test('for other sources in AWS’s words where they are known', async () => {
    const table = 'arn:aws:dynamodb:us-east-1:000000000000:table/t/stream/s'
    await expect(
      create({
        EventSourceArn: table,
        StartingPosition: 'AT_TIMESTAMP',
        StartingPositionTimestamp: new Date(1_741_010_802_000),
      }),
    ).rejects.toMatchObject(invalid(`Unsupported starting position for arn type: ${table}`))
    const kafka = {
      EventSourceArn: undefined,
      Topics: ['topic'],
      SelfManagedEventSource: { Endpoints: { KAFKA_BOOTSTRAP_SERVERS: ['kafka:1000'] } },
    }
    await expect(create(kafka)).rejects.toMatchObject(
      invalid("Required 'sourceAccessConfigurations' parameter is missing."),
    )
    const SourceAccessConfigurations = [{ Type: 'BASIC_AUTH', URI: 'u' }]
    await expect(create({ ...kafka, SourceAccessConfigurations })).rejects.toMatchObject(
      invalid('lambus does not read from self-managed Kafka yet (EventSourceArn).'),
    )
  })

  // ours: the stream is gone when the tracker looks
  test.each(['noSuchStream', 'noSuchConsumer'] as const)(
    'when the tracker says %s',
    async (refused) => {
      tracker.answerNext({ refused })
      await expect(create()).rejects.toMatchObject(invalid(`Stream not found: ${streamArn()}`))
    },
  )
})

describe('a mapping that is changed', () => {
  // §5.1: 202
  test('has what is given, and keeps the rest', async () => {
    const UUID = await made({ BatchSize: 5, MaximumRetryAttempts: 3 })
    const changes = {
      BatchSize: 7,
      BisectBatchOnFunctionError: true,
      MaximumBatchingWindowInSeconds: 2,
      MaximumRecordAgeInSeconds: 120,
      ParallelizationFactor: 4,
      FunctionResponseTypes: ['ReportBatchItemFailures'],
      FilterCriteria: { Filters: [{ Pattern: '{"data":{"a":[1]}}' }] },
      DestinationConfig: { OnFailure: { Destination: sqs('failures') } },
    }
    const told = answer(202, { ...changes, MaximumRetryAttempts: 3, State: 'Updating' })
    expect(await update(UUID, changes)).toEqual(told)
    expect(last()).toEqual({
      type: 'update',
      uuid: UUID,
      nowMs: expect.any(Number),
      settings: {
        batchSize: 7,
        bisectsOnError: true,
        batchingWindowMs: 2_000,
        maximumRecordAgeMs: 120_000,
        parallelizationFactor: 4,
        reportsItemFailures: true,
        filters: ['{"data":{"a":[1]}}'],
        onFailure: sqs('failures'),
      },
    })
    expect(await get(UUID)).toEqual({ ...told, $metadata: answer(200).$metadata })
  })

  test('can lose its filters, its destination and its response types', async () => {
    const UUID = await made({
      FilterCriteria: { Filters: [{ Pattern: '{"data":{"a":[1]}}' }] },
      DestinationConfig: { OnFailure: { Destination: sqs('failures') } },
      FunctionResponseTypes: ['ReportBatchItemFailures'],
    })
    const changes = {
      FilterCriteria: { Filters: [] },
      DestinationConfig: { OnFailure: {} },
      FunctionResponseTypes: [],
    }
    expect(await update(UUID, changes)).toEqual(answer(202, { State: 'Updating' }))
  })

  // §5.2
  test('can be disabled and enabled again', async () => {
    const UUID = await made()
    expect((await update(UUID, { Enabled: false })).State).toBe('Disabling')
    expect(last()).toMatchObject({ settings: {}, isEnabled: false })
    await tracker.settle()
    await shown(UUID, 'Disabled')
    expect((await update(UUID, { Enabled: true })).State).toBe('Enabling')
  })

  // Lambda API, UpdateEventSourceMapping: "You can change the function that Lambda invokes"
  test('can be one of another function', async () => {
    const UUID = await made()
    const FunctionName = `${fn}-other`
    await send(new CreateFunctionCommand(createInput(FunctionName)))
    const told = await update(UUID, { FunctionName: `${FunctionName}:$LATEST` })
    expect(told.FunctionArn).toBe(`${arnOf(FunctionName)}:$LATEST`)
    expect(last()).toMatchObject({ to: { functionName: FunctionName, qualifier: '$LATEST' } })
    await expect(update(UUID, { FunctionName: 'doesnotexist' })).rejects.toMatchObject(
      invalid('Function does not exist'),
    )
  })

  test('cannot be what another is', async () => {
    const UUID = await made()
    tracker.answerNext({ refused: 'exists', uuid: missing })
    await expect(update(UUID, { FunctionName: fn })).rejects.toMatchObject({
      name: 'ResourceConflictException',
      message: `The event source arn (" ${streamArn()} ") and function (" ${fn} ") provided mapping already exists. Please update or delete the existing mapping with UUID ${missing}`,
    })
  })

  // Lambda API, UpdateEventSourceMapping, ResourceInUseException: "you tried to update an event source mapping in the CREATING
  // state"; the sentences are those that users report
  test('cannot be while it is changing already', async () => {
    const { UUID } = await create()
    await expect(update(UUID, { BatchSize: 1 })).rejects.toMatchObject(
      refusedAs(
        'ResourceInUseException',
        400,
        'Cannot update the event source mapping because it is in use.',
      ),
    )
    await remove(UUID)
    await expect(remove(UUID)).rejects.toMatchObject(
      refusedAs(
        'ResourceInUseException',
        400,
        'Cannot delete the event source mapping because it is in use.',
      ),
    )
  })

  test('is held to the same as one that is made', async () => {
    const UUID = await made({ ParallelizationFactor: 2 })
    const refusals: [object, object][] = [
      [{ BatchSize: 0 }, { name: 'ValidationException' }],
      [{ MaximumRecordAgeInSeconds: 10 }, { name: 'InvalidParameterValueException' }],
      [
        { FilterCriteria: { Filters: [{ Pattern: '[]' }] } },
        invalid('Invalid filter pattern definition.'),
      ],
      [
        { DestinationConfig: { OnSuccess: { Destination: sqs('failures') } } },
        invalid('Unsupported DestinationConfig parameter for given event source mapping type.'),
      ],
      [
        { DestinationConfig: { OnFailure: { Destination: sqs('missing') } } },
        invalid(`The destination ARN ${sqs('missing')} is invalid.`),
      ],
      [
        { ScalingConfig: { MaximumConcurrency: 2 } },
        invalid('Unsupported ScalingConfig parameter for given event source mapping type.'),
      ],
      [{ TumblingWindowInSeconds: 60 }, { name: 'InvalidParameterValueException' }],
    ]
    const before = tracker.heard.length
    for (const [changes, refusal] of refusals) {
      await expect(update(UUID, changes)).rejects.toMatchObject(refusal)
    }
    expect(tracker.heard.length).toBe(before)
  })
})

// test_event_source_mapping_exceptions
test.each([missing, 'no-uuid'])('there is no mapping %s', async (uuid) => {
  await expect(get(uuid)).rejects.toMatchObject(noMapping)
  await expect(remove(uuid)).rejects.toMatchObject(noMapping)
  await expect(update(uuid, { Enabled: false })).rejects.toMatchObject(noMapping)
})

// test_event_source_mapping_lifecycle
test('a mapping that is deleted says so, and is gone in a while', async () => {
  const UUID = await made()
  expect(await remove(UUID)).toEqual(answer(202, { State: 'Deleting' }))
  expect((await get(UUID)).State).toBe('Deleting')
  await tracker.settle()
  await expect
    .poll(() => get(UUID).catch(({ name }: Error) => name))
    .toBe('ResourceNotFoundException')
})

describe('a list', () => {
  const uuids = async (more: object) =>
    (await list(more)).EventSourceMappings.map(({ UUID }: { UUID: string }) => UUID)

  // test_event_source_mapping_exceptions: "list doesn't care about the resource filters existing"
  test('of what is not there is empty', async () => {
    expect(await uuids({ FunctionName: 'doesnotexist' })).toEqual([])
    expect(await uuids({ EventSourceArn: sqs('somequeue') })).toEqual([])
  })

  // Lambda API, ListEventSourceMappings
  test('can be of a source, of a function in all its forms, and of both', async () => {
    await tracker.makeStream(`${stream}-2`)
    const one = (await create()).UUID
    const two = (await create({ EventSourceArn: streamArn(`${stream}-2`) })).UUID
    const both = [one, two].sort()
    expect(await uuids({ EventSourceArn: streamArn() })).toEqual([one])
    for (const FunctionName of [fn, arnOf(fn), `000000000000:function:${fn}`]) {
      expect(await uuids({ FunctionName })).toEqual(both)
    }
    expect(await uuids({ FunctionName: fn, EventSourceArn: streamArn(`${stream}-2`) })).toEqual([
      two,
    ])
    expect(await uuids({ FunctionName: `${fn}:$LATEST` })).toEqual([])
    const [shown] = (await list({ EventSourceArn: streamArn() })).EventSourceMappings
    const { $metadata: _, ...expected } = answer(200)
    expect(shown).toEqual(expected)
  })

  // service model: MaxItems 1–10,000; API: 100 in an answer at most
  test('comes in pages', async () => {
    const made: string[] = []
    for (let index = 0; index < 3; index++) {
      await tracker.makeStream(`${stream}-${index}`)
      made.push((await create({ EventSourceArn: streamArn(`${stream}-${index}`) })).UUID)
    }
    const found: string[] = []
    let Marker: string | undefined
    do {
      const page = await list({ FunctionName: fn, MaxItems: 2, Marker })
      found.push(...page.EventSourceMappings.map(({ UUID }: { UUID: string }) => UUID))
      Marker = page.NextMarker
    } while (Marker !== undefined)
    expect(found).toEqual(made.sort())
    await expect(list({ MaxItems: 0 })).rejects.toMatchObject(
      misshapen(
        "Value '0' at 'maxItems' failed to satisfy constraint: Member must have value greater than or equal to 1",
      ),
    )
    await expect(list({ Marker: 'x' })).rejects.toMatchObject(
      invalid('The Marker is not one that ListEventSourceMappings gave.'),
    )
  })
})

describe('tags of a mapping', () => {
  const tags = async (Resource: string) => (await send(new ListTagsCommand({ Resource }))).Tags

  // test_tag_lifecycle[event_source_mapping]
  test('are put, read and taken away by its ARN', async () => {
    const Resource = mappingArn(await made({ Tags: { a: 'tag-a' } }))
    expect(await tags(Resource)).toEqual({ a: 'tag-a' })
    const put = await send(new TagResourceCommand({ Resource, Tags: { b: 'tag-b', a: 'new' } }))
    expect(put.$metadata.httpStatusCode).toBe(204)
    expect(await tags(Resource)).toEqual({ a: 'new', b: 'tag-b' })
    const taken = await send(new UntagResourceCommand({ Resource, TagKeys: ['a', 'x'] }))
    expect(taken.$metadata.httpStatusCode).toBe(204)
    expect(await tags(Resource)).toEqual({ b: 'tag-b' })
  })

  // test_tag_exceptions[event_source_mapping]
  test('are not those of a mapping that is not there', async () => {
    const Resource = mappingArn(missing)
    const refusal = notFound(`Event source mapping not found: ${Resource}`)
    await expect(tags(Resource)).rejects.toMatchObject(refusal)
    await expect(
      send(new TagResourceCommand({ Resource, Tags: { a: 'b' } })),
    ).rejects.toMatchObject(refusal)
    await expect(
      send(new UntagResourceCommand({ Resource, TagKeys: ['a'] })),
    ).rejects.toMatchObject(refusal)
    const alias = `${Resource}:alias`
    await expect(tags(alias)).rejects.toMatchObject({
      name: 'ValidationException',
      message: expect.stringContaining(`Value '${alias}' at 'resource' failed to satisfy`),
    })
  })

  // AWS General Reference, "Tag naming limits"
  test('are 50 at most', async () => {
    const Resource = mappingArn(await made({ Tags: { first: '' } }))
    const Tags = Object.fromEntries(Array.from({ length: 50 }, (_, index) => [`k${index}`, '']))
    await expect(send(new TagResourceCommand({ Resource, Tags }))).rejects.toMatchObject(
      invalid('Number of tags exceeds resource tag limit.'),
    )
  })
})

// ours; LAST, because nobody answers afterwards
test('without a stream tracker, changes are refused, and reading goes on', async () => {
  const UUID = await made()
  tracker.stop()
  await expect(update(UUID, { BatchSize: 2 })).rejects.toMatchObject({
    name: 'ServiceException',
    message: 'There is no stream tracker: start one with `lambus start stream-tracker`.',
    $metadata: { httpStatusCode: 500 },
  })
  expect((await get(UUID)).UUID).toBe(UUID)
}, 10_000)
