/**
 * The operations on event source mappings. They are kept by the leading stream tracker, which is asked for every change; what
 * is only read is read from this control plane's copy.
 *
 * Source: lambda-semantics.md §5.1–5.3 and Appendix A; LocalStack's TestLambdaEventSourceMappings and TestKinesisSource,
 * recorded on AWS.
 */
import type { Input } from '../edges/aws/constraints.ts'
import {
  invalidDestination,
  readDestination,
  unsupportedDestinations,
} from '../edges/aws/destinations.ts'
import { isRefusal, type Refusal } from '../edges/aws/errors.ts'
import { latest } from '../edges/aws/event-invoke.ts'
import { sourceNotBuilt, streamNotFound } from '../edges/aws/event-source.ts'
import {
  type CreateMapping,
  checkMapping,
  mappingConfiguration,
  noFunctionToMap,
  noSuchMapping,
  readCreateMapping,
  readUpdateMapping,
  targetArn,
  type UpdateMapping,
} from '../edges/aws/event-source-mapping.ts'
import { canExist, type FunctionName, parseFunctionName } from '../edges/aws/names.ts'
import { pageOf } from '../edges/aws/pages.ts'
import type { MappingRecord } from '../machines/mapping.ts'
import type { ApiBinding, ApiHandler } from './api.ts'
import { mappingChanges } from './api-mapping-changes.ts'
import { sourceState } from './mapping-source.ts'

type Operation =
  | 'CreateEventSourceMapping'
  | 'GetEventSourceMapping'
  | 'ListEventSourceMappings'
  | 'UpdateEventSourceMapping'
  | 'DeleteEventSourceMapping'

/** Lambda API, ListEventSourceMappings: at most 100 in an answer, whatever is asked for. */
const mostItems = 100

export function mappingOperations(binding: ApiBinding): Record<Operation, ApiHandler> {
  const { mappings, clock, newId } = binding
  const { find, change } = mappingChanges(binding)
  const told = (record: MappingRecord) => ({ body: mappingConfiguration(record, binding) })

  /** The mapping that a request names. */
  const named = async (operation: Operation, input: Input): Promise<MappingRecord | Refusal> =>
    checkMapping(operation, input) ?? (await find(String(input['UUID']))) ?? noSuchMapping()

  return {
    async CreateEventSourceMapping(input) {
      const read = readCreateMapping(input, binding, clock.nowMs())
      if (isRefusal(read)) return read
      const { target, settings, isEnabled, tags } = read
      const stream = await findSource(read, binding)
      if (isRefusal(stream)) return stream
      const sourceArn = read.source.arn
      const functionName = target.name
      const record = await change(
        {
          type: 'create',
          uuid: newId(),
          nowMs: clock.nowMs(),
          isEnabled,
          record: {
            ...targetOf(target, binding),
            sourceArn,
            stream,
            startingPosition: read.startingPosition,
            ...(read.startingTimestampMs === undefined
              ? {}
              : { startingTimestampMs: read.startingTimestampMs }),
            settings,
            tags,
          },
        },
        { sourceArn, functionName },
      )
      return told(record)
    },

    async GetEventSourceMapping(input) {
      const record = await named('GetEventSourceMapping', input)
      return isRefusal(record) ? record : told(record)
    },

    async UpdateEventSourceMapping(input) {
      const current = await named('UpdateEventSourceMapping', input)
      if (isRefusal(current)) return current
      const read = readUpdateMapping(input, binding, current.settings)
      if (isRefusal(read)) return read
      const bad = await refuseUpdate(read, binding)
      if (bad !== undefined) return bad
      const { target, settings, isEnabled } = read
      const { uuid, sourceArn } = current
      const record = await change(
        {
          type: 'update',
          uuid,
          nowMs: clock.nowMs(),
          settings,
          ...(isEnabled === undefined ? {} : { isEnabled }),
          ...(target === undefined ? {} : { to: targetOf(target, binding) }),
        },
        { sourceArn, functionName: target?.name ?? current.functionName },
      )
      return told(record)
    },

    async DeleteEventSourceMapping(input) {
      const current = await named('DeleteEventSourceMapping', input)
      if (isRefusal(current)) return current
      const { uuid } = current
      return told(await change({ type: 'delete', uuid, nowMs: clock.nowMs() }, current))
    },

    /** What it is asked for need not exist: test_event_source_mapping_exceptions. */
    async ListEventSourceMappings(input) {
      const isWanted = readWish(input, binding)
      if (isRefusal(isWanted)) return isWanted
      const all = [...mappings.entries()].map(([, record]) => record).filter(isWanted)
      const keyOf = ({ uuid }: MappingRecord) => uuid
      const isKey = (text: string) => /^[\da-f-]{36}$/.test(text)
      const page = pageOf('ListEventSourceMappings', input, all, keyOf, isKey, mostItems)
      if (isRefusal(page)) return page
      return {
        body: {
          EventSourceMappings: page.items.map((record) => mappingConfiguration(record, binding)),
          NextMarker: page.nextMarker,
        },
      }
    },
  }
}

/** With the qualifier that was given, and only then: test_function_name_variations. */
const targetOf = (target: FunctionName, binding: ApiBinding) => ({
  functionName: target.name,
  functionArn: targetArn(target, binding),
  ...(target.qualifier === undefined ? {} : { qualifier: target.qualifier }),
})

/** The stream that a mapping is to read, when everything that it names is there. */
async function findSource(
  { target, source, settings }: CreateMapping,
  binding: ApiBinding,
): Promise<string | Refusal> {
  if (!(await isFunction(target, binding))) return noFunctionToMap()
  if (source.kind === 'not built') return sourceNotBuilt(source.service)
  const bad = await refuseDestination(settings.onFailure, binding)
  if (bad !== undefined) return bad
  const { arn: sourceArn, stream, isHere } = source
  const state = sourceState({ sourceArn, stream }, await binding.streams.find(stream))
  return isHere && state === 'there' ? stream : streamNotFound(sourceArn)
}

async function refuseUpdate(
  { target, settings }: UpdateMapping,
  binding: ApiBinding,
): Promise<Refusal | undefined> {
  if (target !== undefined && !(await isFunction(target, binding))) return noFunctionToMap()
  return await refuseDestination(settings.onFailure, binding)
}

/** Without publishing there is one version. */
async function isFunction(
  { name, qualifier = latest }: FunctionName,
  { functions }: ApiBinding,
): Promise<boolean> {
  return qualifier === latest && canExist(name) && (await functions.read(name)) !== undefined
}

/** Streams tell queues and topics of failures, and here subjects; AWS also S3 and Kafka, which lambus does not deliver to. */
async function refuseDestination(
  arn: string | undefined,
  binding: ApiBinding,
): Promise<Refusal | undefined> {
  if (!arn) return undefined
  const target = readDestination(arn, binding)
  if (isRefusal(target)) return target
  if (target === 'unsupported' || target.kind === 'function' || target.kind === 'bus') {
    return unsupportedDestinations({ onFailure: arn })
  }
  return target.kind === 'queue' && !(await binding.queueExists(target.name))
    ? invalidDestination(arn)
    : undefined
}

/** Whether a list is to show a mapping. A function without a qualifier stands for all its qualifiers. */
function readWish(input: Input, where: ApiBinding): ((record: MappingRecord) => boolean) | Refusal {
  const operation = 'ListEventSourceMappings'
  const bad = checkMapping(operation, input)
  if (bad !== undefined) return bad
  const { region, account } = where
  const name = input['FunctionName'] as string | null | undefined
  const wanted = name
    ? parseFunctionName(name, undefined, { region, account, operation })
    : undefined
  if (isRefusal(wanted)) return wanted
  const arn = input['EventSourceArn'] ?? undefined
  return ({ sourceArn, functionName, qualifier }) =>
    (arn === undefined || arn === sourceArn) &&
    (wanted === undefined || wanted.name === functionName) &&
    (wanted?.qualifier === undefined || wanted.qualifier === qualifier)
}
