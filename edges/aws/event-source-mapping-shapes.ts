/**
 * The inputs of the operations on event source mappings, as the service model constrains them. What only other sources than
 * streams have is a structure without members here: it is refused as a whole.
 *
 * Source: botocore's lambda/2015-03-31 model; the enum of starting positions in AWS's own order, as recorded in
 * test_create_event_source_validation_kinesis /invalid_starting_position.
 */
import type { Shape, Structure } from './constraints.ts'
import { destinationShape } from './function-shapes.ts'

const text: Shape = { kind: 'string' }
const flag: Shape = { kind: 'boolean' }
const refused: Shape = { kind: 'structure', members: {} }
const tags: Shape = { kind: 'map', key: { kind: 'string' }, value: { kind: 'string' } }

const eventSourceArn: Shape = {
  kind: 'string',
  pattern: String.raw`arn:(aws[a-zA-Z0-9-]*):([a-zA-Z0-9\-])+:((eusc-)?[a-z]{2}((-gov)|(-iso([a-z]?)))?-[a-z]+-\d{1})?:(\d{12})?:(.*)`,
}

/** What can be changed later. */
const settings = {
  FunctionName: text,
  Enabled: flag,
  BatchSize: { kind: 'integer', atLeast: 1, atMost: 10_000 },
  FilterCriteria: {
    kind: 'structure',
    members: {
      Filters: {
        kind: 'list',
        of: {
          kind: 'structure',
          members: { Pattern: { kind: 'string', atMostLong: 4_096 } },
        },
      },
    },
  },
  MaximumBatchingWindowInSeconds: { kind: 'integer', atLeast: 0, atMost: 300 },
  ParallelizationFactor: { kind: 'integer', atLeast: 1, atMost: 10 },
  DestinationConfig: {
    kind: 'structure',
    members: { OnSuccess: destinationShape, OnFailure: destinationShape },
  },
  MaximumRecordAgeInSeconds: { kind: 'integer', atLeast: -1, atMost: 604_800 },
  BisectBatchOnFunctionError: flag,
  MaximumRetryAttempts: { kind: 'integer', atLeast: -1, atMost: 10_000 },
  TumblingWindowInSeconds: { kind: 'integer', atLeast: 0, atMost: 900 },
  FunctionResponseTypes: {
    kind: 'list',
    of: { kind: 'string', oneOf: ['ReportBatchItemFailures'] },
    atMostLong: 1,
  },
  SourceAccessConfigurations: { kind: 'list', of: refused, atMostLong: 22 },
  AmazonManagedKafkaEventSourceConfig: refused,
  SelfManagedKafkaEventSourceConfig: refused,
  ScalingConfig: refused,
  DocumentDBEventSourceConfig: refused,
  ProvisionedPollerConfig: refused,
  LoggingConfig: refused,
  KMSKeyArn: { kind: 'string', pattern: '(arn:(aws[a-zA-Z-]*)?:[a-z0-9-.]+:.*)|()' },
  MetricsConfig: { kind: 'structure', members: { Metrics: { kind: 'list', of: text } } },
} as const satisfies Record<string, Shape>

const ofUuid: Structure = { kind: 'structure', members: { UUID: text }, required: ['UUID'] }

export const mappingShapes = {
  CreateEventSourceMapping: {
    kind: 'structure',
    members: {
      EventSourceArn: eventSourceArn,
      ...settings,
      StartingPosition: { kind: 'string', oneOf: ['LATEST', 'AT_TIMESTAMP', 'TRIM_HORIZON'] },
      StartingPositionTimestamp: { kind: 'timestamp' },
      Tags: tags,
      Topics: { kind: 'list', of: text, atLeastLong: 1, atMostLong: 1 },
      Queues: { kind: 'list', of: text, atLeastLong: 1, atMostLong: 1 },
      SelfManagedEventSource: refused,
    },
    required: ['FunctionName'],
  },
  UpdateEventSourceMapping: {
    kind: 'structure',
    members: { UUID: text, ...settings },
    required: ['UUID'],
  },
  ListEventSourceMappings: {
    kind: 'structure',
    members: {
      EventSourceArn: eventSourceArn,
      FunctionName: text,
      Marker: text,
      MaxItems: { kind: 'integer', atLeast: 1, atMost: 10_000 },
    },
  },
  GetEventSourceMapping: ofUuid,
  DeleteEventSourceMapping: ofUuid,
} as const satisfies Record<string, Structure>
