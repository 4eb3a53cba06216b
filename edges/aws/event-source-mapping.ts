/**
 * Event source mappings: requests read and checked, and mappings shown in AWS's words.
 *
 * In the order in which AWS was seen to complain: the service model, a destination for successes, no source at all, the
 * starting position; then what this file finds in the settings; last, for whoever called, that the function or the stream is
 * not there.
 *
 * Source: lambda-semantics.md §5.1–5.3 and Appendix A; LocalStack's TestLambdaEventSourceMappings and TestKinesisSource,
 * recorded on AWS (2025-11). Where no recording or report has AWS's sentence, it is ours, and marked so.
 */
import type { MappingRecord, MappingSettings } from '../../machines/mapping.ts'
import { checkInput, type Input } from './constraints.ts'
import { isRefusal, type Refusal, refuse } from './errors.ts'
import { type EventSource, readEventSource, unrecognizedSource } from './event-source.ts'
import { mappingShapes } from './event-source-mapping-shapes.ts'
import { isFilterPattern, mostFilters } from './filter-pattern.ts'
import { checkTags } from './function-requests.ts'
import {
  complaintsOfName,
  type FunctionName,
  functionArn,
  type Place,
  parseFunctionName,
  partition,
} from './names.ts'
import { refuseUnhonoured, refuseUnknownWithin } from './unhonoured.ts'

export type CreateMapping = {
  target: FunctionName
  source: EventSource
  settings: MappingSettings
  startingPosition: MappingRecord['startingPosition']
  startingTimestampMs: number | undefined
  isEnabled: boolean
  tags: Record<string, string>
}
export type UpdateMapping = {
  target: FunctionName | undefined
  /** An `onFailure` of '' takes the destination away. */
  settings: Partial<MappingSettings>
  isEnabled: boolean | undefined
}

const invalid = (sentence: string) => refuse('InvalidParameterValueException', sentence)

/** Lambda API, CreateEventSourceMapping, for Kinesis. */
const defaults: MappingSettings = {
  batchSize: 100,
  batchingWindowMs: 0,
  parallelizationFactor: 1,
  bisectsOnError: false,
  maximumRetryAttempts: -1,
  maximumRecordAgeMs: -1,
  tumblingWindowMs: 0,
  reportsItemFailures: false,
  filters: [],
}

// ── Requests ───────────────────────────────────────────────────────────────────────────────────────────────────────

type Operation = keyof typeof mappingShapes

/** What the service model has against a request. */
export function checkMapping(operation: Operation, input: Input): Refusal | undefined {
  const name = input['FunctionName']
  const complaints = typeof name === 'string' ? complaintsOfName(name, operation) : []
  const stranger = Object.keys(input).find(
    (member) => isNamed(input[member]) && !Object.hasOwn(mappingShapes[operation].members, member),
  )
  return (
    checkInput(mappingShapes[operation], input, complaints) ??
    (stranger === undefined ? undefined : invalid(`lambus does not know the setting ${stranger}.`))
  )
}

export function readCreateMapping(
  input: Input,
  where: Place,
  nowMs: number,
): CreateMapping | Refusal {
  const operation = 'CreateEventSourceMapping'
  const misshapen = checkMapping(operation, input)
  if (misshapen !== undefined) return misshapen
  const target = readTarget(input['FunctionName'], where, operation)
  if (isRefusal(target)) return target
  const source = refuseSuccesses(input) ?? readSource(input, where)
  if (isRefusal(source)) return source
  const start = refuseStart(input, source) ?? readStart(input, nowMs)
  if (isRefusal(start)) return start
  const given =
    (source.kind === 'kinesis' ? refuseOfOthers(input) : undefined) ??
    readSettings(operation, input)
  if (isRefusal(given)) return given
  const { onFailure, ...others } = given
  const settings = { ...defaults, ...others, ...(onFailure ? { onFailure } : {}) }
  const tags = (input['Tags'] ?? {}) as Record<string, string>
  return (
    refuseTogether(settings) ??
    checkTags(tags) ?? {
      target,
      source,
      settings,
      ...start,
      isEnabled: input['Enabled'] !== false,
      tags,
    }
  )
}

/** `current`: what the mapping has now. The input has passed its shape. */
export function readUpdateMapping(
  input: Input,
  where: Place,
  current: MappingSettings,
): UpdateMapping | Refusal {
  const operation = 'UpdateEventSourceMapping'
  const name = input['FunctionName']
  const target = isNamed(name) ? readTarget(name, where, operation) : undefined
  if (isRefusal(target)) return target
  const settings = refuseSuccesses(input) ?? refuseOfOthers(input) ?? readSettings(operation, input)
  if (isRefusal(settings)) return settings
  const isEnabled = (input['Enabled'] ?? undefined) as boolean | undefined
  return refuseTogether({ ...current, ...settings }) ?? { target, settings, isEnabled }
}

const readTarget = (name: unknown, { region, account }: Place, operation: Operation) =>
  parseFunctionName(String(name), undefined, { region, account, operation })

/** Of failures only: destination_config_failure, recorded. */
function refuseSuccesses(input: Input): Refusal | undefined {
  return destinationsOf(input).OnSuccess?.Destination
    ? invalid('Unsupported DestinationConfig parameter for given event source mapping type.')
    : undefined
}

function readSource(input: Input, where: Place): EventSource | Refusal {
  const arn = input['EventSourceArn']
  if (typeof arn === 'string') return readEventSource(arn, where)
  if (!isGiven(input['SelfManagedEventSource'])) return unrecognizedSource()
  // missing-source-access-configuration, recorded
  return isGiven(input['SourceAccessConfigurations'])
    ? { kind: 'not built', arn: '', service: 'self-managed Kafka' }
    : invalid("Required 'sourceAccessConfigurations' parameter is missing.")
}

/** Streams want a starting position, and only Kinesis has one at a time: no_starting_position, incompatible_starting_position. */
function refuseStart(input: Input, source: EventSource): Refusal | undefined {
  const isOfDynamo = source.kind === 'not built' && source.service === 'dynamodb'
  if (source.kind !== 'kinesis' && !isOfDynamo) return undefined
  const position = input['StartingPosition'] ?? undefined
  if (position === undefined) {
    return invalid(
      "1 validation error detected: Value null at 'startingPosition' failed to satisfy constraint: Member must not be null.",
    )
  }
  return isOfDynamo && position === 'AT_TIMESTAMP'
    ? invalid(`Unsupported starting position for arn type: ${source.arn}`)
    : undefined
}

type Start = Pick<CreateMapping, 'startingPosition' | 'startingTimestampMs'>

function readStart(input: Input, nowMs: number): Start | Refusal {
  const startingPosition = (input['StartingPosition'] ?? 'LATEST') as Start['startingPosition']
  const seconds = input['StartingPositionTimestamp']
  const startingTimestampMs = typeof seconds === 'number' ? Math.round(seconds * 1_000) : undefined
  if (startingPosition !== 'AT_TIMESTAMP') {
    // Lambda Developer Guide, "Kinesis parameters": only valid with AT_TIMESTAMP; our sentence.
    return startingTimestampMs === undefined
      ? { startingPosition, startingTimestampMs }
      : invalid('StartingPositionTimestamp is only valid if StartingPosition is AT_TIMESTAMP.')
  }
  // As reported by users of CloudFormation.
  if (startingTimestampMs === undefined) return invalid('Need to specify a timestamp')
  // Lambda API, CreateEventSourceMapping, says so; our use of its sentence.
  return startingTimestampMs > nowMs
    ? invalid('StartingPositionTimestamp cannot be in the future.')
    : { startingPosition, startingTimestampMs }
}

// ── Settings ───────────────────────────────────────────────────────────────────────────────────────────────────────

/** What AWS has for other event sources only. */
const ofOtherSources = [
  'Topics',
  'Queues',
  'SourceAccessConfigurations',
  'SelfManagedEventSource',
  'AmazonManagedKafkaEventSourceConfig',
  'SelfManagedKafkaEventSourceConfig',
  'ScalingConfig',
  'DocumentDBEventSourceConfig',
  'ProvisionedPollerConfig',
  'LoggingConfig',
]

const isNamed = (value: unknown) => value !== undefined && value !== null
const isGiven = (value: unknown): boolean =>
  typeof value === 'object' && value !== null && Object.keys(value).length > 0

function refuseOfOthers(input: Input): Refusal | undefined {
  const stranger = ofOtherSources.find((member) => isGiven(input[member]))
  // In the form recorded for DestinationConfig.
  return stranger === undefined
    ? undefined
    : invalid(`Unsupported ${stranger} parameter for given event source mapping type.`)
}

/** Only what is given. */
function readSettings(
  operation: 'CreateEventSourceMapping' | 'UpdateEventSourceMapping',
  input: Input,
): Partial<MappingSettings> | Refusal {
  const { members } = mappingShapes[operation]
  const bad = refuseUnhonoured(input, members, '') ?? refuseUnknownWithin(input, members)
  if (bad !== undefined) return bad
  const filters = readFilters(input)
  if (isRefusal(filters)) return filters
  const age = input['MaximumRecordAgeInSeconds'] as number | null | undefined
  // Documented, and seen to be refused on AWS (§5.1); our sentence.
  if (typeof age === 'number' && age !== -1 && age < 60) {
    return invalid('MaximumRecordAgeInSeconds must be -1 or between 60 and 604800.')
  }
  const settings: Partial<MappingSettings> = { ...filters }
  for (const [member, read] of Object.entries(plain)) {
    const value = input[member]
    if (value !== undefined && value !== null) Object.assign(settings, read(value as never))
  }
  const { OnFailure } = destinationsOf(input)
  if (OnFailure) settings.onFailure = OnFailure.Destination ?? ''
  return settings
}

type ReadSetting = (value: never) => Partial<MappingSettings>
const inMs = (seconds: number) => (seconds === -1 ? -1 : seconds * 1_000)
/** A batching window in milliseconds, and so on. */
const plain: Record<string, ReadSetting> = {
  BatchSize: (batchSize: number) => ({ batchSize }),
  MaximumBatchingWindowInSeconds: (seconds: number) => ({ batchingWindowMs: inMs(seconds) }),
  ParallelizationFactor: (parallelizationFactor: number) => ({ parallelizationFactor }),
  BisectBatchOnFunctionError: (bisectsOnError: boolean) => ({ bisectsOnError }),
  MaximumRetryAttempts: (maximumRetryAttempts: number) => ({ maximumRetryAttempts }),
  MaximumRecordAgeInSeconds: (seconds: number) => ({ maximumRecordAgeMs: inMs(seconds) }),
  TumblingWindowInSeconds: (seconds: number) => ({ tumblingWindowMs: inMs(seconds) }),
  FunctionResponseTypes: (types: string[]) => ({ reportsItemFailures: types.length > 0 }),
}

type Destinations = Record<
  'OnSuccess' | 'OnFailure',
  { Destination?: string | null } | null | undefined
>
const destinationsOf = (input: Input): Destinations =>
  (input['DestinationConfig'] ?? {}) as Destinations

/** None at all is an empty list: test_kinesis_empty_provided. */
function readFilters(input: Input): { filters?: string[] } | Refusal {
  const criteria = input['FilterCriteria'] as { Filters?: Input[] | null } | null | undefined
  if (!criteria) return {}
  const given = criteria.Filters ?? []
  const stranger = given.flatMap(Object.keys).find((member) => member !== 'Pattern')
  if (stranger !== undefined) {
    return invalid(`lambus does not know the setting FilterCriteria.Filters.${stranger}.`)
  }
  // Lambda Developer Guide, "Event filtering"; our sentence.
  if (given.length > mostFilters) {
    return invalid(`FilterCriteria can have at most ${mostFilters} filters.`)
  }
  const filters = given.map(({ Pattern }) => String(Pattern ?? ''))
  return filters.every(isFilterPattern)
    ? { filters }
    : invalid('Invalid filter pattern definition.')
}

/** What AWS does not have together (§5.1); our sentences. */
function refuseTogether(settings: MappingSettings): Refusal | undefined {
  if (settings.tumblingWindowMs === 0) return undefined
  if (settings.parallelizationFactor > 1) {
    return invalid('TumblingWindowInSeconds cannot be used with a ParallelizationFactor above 1.')
  }
  return settings.filters.length > 0
    ? invalid('TumblingWindowInSeconds cannot be used with FilterCriteria.')
    : undefined
}

// ── Answers ────────────────────────────────────────────────────────────────────────────────────────────────────────

export const mappingArn = ({ region, account }: Place, uuid: string): string =>
  `arn:${partition(region)}:lambda:${region}:${account}:event-source-mapping:${uuid}`

const inSeconds = (ms: number) => (ms === -1 ? -1 : ms / 1_000)

/** `undefined` members are not shown; the destination always is, empty if need be. */
export function mappingConfiguration(record: MappingRecord, where: Place): object {
  const { settings } = record
  return {
    BatchSize: settings.batchSize,
    BisectBatchOnFunctionError: settings.bisectsOnError,
    DestinationConfig: { OnFailure: { Destination: settings.onFailure || undefined } },
    EventSourceArn: record.sourceArn,
    EventSourceMappingArn: mappingArn(where, record.uuid),
    FilterCriteria:
      settings.filters.length === 0
        ? undefined
        : { Filters: settings.filters.map((Pattern) => ({ Pattern })) },
    FunctionArn: record.functionArn,
    FunctionResponseTypes: settings.reportsItemFailures ? ['ReportBatchItemFailures'] : [],
    LastModified: record.lastModifiedMs / 1_000,
    LastProcessingResult: record.lastResult,
    MaximumBatchingWindowInSeconds: inSeconds(settings.batchingWindowMs),
    MaximumRecordAgeInSeconds: inSeconds(settings.maximumRecordAgeMs),
    MaximumRetryAttempts: settings.maximumRetryAttempts,
    ParallelizationFactor: settings.parallelizationFactor,
    StartingPosition: record.startingPosition,
    StartingPositionTimestamp:
      record.startingTimestampMs === undefined ? undefined : record.startingTimestampMs / 1_000,
    State: record.state,
    StateTransitionReason: record.reason,
    TumblingWindowInSeconds: inSeconds(settings.tumblingWindowMs),
    UUID: record.uuid,
  }
}

/** As a mapping keeps it: with the qualifier that was given. */
export const targetArn = ({ name, qualifier }: FunctionName, where: Place): string =>
  functionArn(where, name, qualifier)

export const noSuchMapping = (): Refusal =>
  refuse('ResourceNotFoundException', 'The resource you requested does not exist.')

/** test_event_source_mapping_exceptions /create_unknown_params: 400, unlike everywhere else. */
export const noFunctionToMap = (): Refusal => invalid('Function does not exist')

/** test_duplicate_event_source_mappings, with its blanks. */
export const alreadyMapped = (arn: string, functionName: string, uuid: string): Refusal =>
  refuse(
    'ResourceConflictException',
    `The event source arn (" ${arn} ") and function (" ${functionName} ") provided mapping already exists. Please update or delete the existing mapping with UUID ${uuid}`,
  )

/** As reported by many; the API reference has the error for both. */
export const mappingInUse = (verb: 'update' | 'delete'): Refusal =>
  refuse('ResourceInUseException', `Cannot ${verb} the event source mapping because it is in use.`)
