/**
 * The operations on the configuration of asynchronous invocation. It stands in the function's record, by qualifier, where
 * whoever invokes reads it at each attempt.
 *
 * Source: lambda-semantics.md §4.2 and Appendix A; LocalStack's TestLambdaEventInvokeConfig, recorded on AWS.
 */
import type { Input } from '../edges/aws/constraints.ts'
import {
  invalidDestination,
  ownDestination,
  readDestination,
  type Target,
  unsupportedDestinations,
} from '../edges/aws/destinations.ts'
import { isRefusal, type Refusal } from '../edges/aws/errors.ts'
import {
  type EventInvokeRequest,
  eventInvokeConfiguration,
  latest,
  noEventInvokeConfig,
  noFunctionToInvoke,
  readEventInvoke,
} from '../edges/aws/event-invoke.ts'
import { readNamed } from '../edges/aws/function-requests.ts'
import { canExist, functionsOnly } from '../edges/aws/names.ts'
import { pageOf } from '../edges/aws/pages.ts'
import { eventInvokeOf, type FunctionRecord } from '../machines/function.ts'
import type { ApiBinding, ApiHandler, Told } from './api.ts'
import { changesTo } from './api-changes.ts'

type Operation =
  | 'PutFunctionEventInvokeConfig'
  | 'UpdateFunctionEventInvokeConfig'
  | 'GetFunctionEventInvokeConfig'
  | 'ListFunctionEventInvokeConfigs'
  | 'DeleteFunctionEventInvokeConfig'

export function eventInvokeOperations(binding: ApiBinding): Record<Operation, ApiHandler> {
  const { functions } = binding
  const { stamp, change } = changesTo(binding)

  const find = async (name: string) => (canExist(name) ? await functions.read(name) : undefined)

  const shown = (record: FunctionRecord, qualifier: string): object | Refusal => {
    const config = eventInvokeOf(record, qualifier)
    return config === undefined
      ? noEventInvokeConfig(binding, record.name, qualifier)
      : eventInvokeConfiguration(record.name, qualifier, config, binding)
  }

  const set = async (
    type: 'putEventInvoke' | 'updateEventInvoke',
    read: EventInvokeRequest,
  ): Promise<Told | Refusal> => {
    const { name, qualifier } = read
    const held = await find(name)
    if (held === undefined || qualifier !== latest) return noFunctionToInvoke()
    const isThere = eventInvokeOf(held.value, qualifier) !== undefined
    if (type === 'updateEventInvoke' && !isThere) return noEventInvokeConfig(binding, name, latest)
    const bad = await refuseDestinations(read, binding)
    if (bad !== undefined) return bad
    const changed = await change(name, { type, qualifier, change: read.change, ...stamp() })
    return told(shown(changed.record, qualifier), changed.revision)
  }

  /** The configuration that a reading or removing operation means. */
  const findConfig = async (operation: Operation, input: Input) => {
    const read = readNamed(operation, input, binding)
    if (isRefusal(read)) return read
    const { name, qualifier = latest } = read
    const held = await find(name)
    if (held === undefined) return noEventInvokeConfig(binding, name, qualifier)
    const body = shown(held.value, qualifier)
    return isRefusal(body) ? body : { name, qualifier, body, revision: held.revision }
  }

  return {
    async PutFunctionEventInvokeConfig(input) {
      const read = readEventInvoke('PutFunctionEventInvokeConfig', input, binding)
      return isRefusal(read) ? read : set('putEventInvoke', read)
    },

    async UpdateFunctionEventInvokeConfig(input) {
      const read = readEventInvoke('UpdateFunctionEventInvokeConfig', input, binding)
      return isRefusal(read) ? read : set('updateEventInvoke', read)
    },

    async GetFunctionEventInvokeConfig(input) {
      const found = await findConfig('GetFunctionEventInvokeConfig', input)
      return isRefusal(found) ? found : { body: found.body, revision: found.revision }
    },

    async DeleteFunctionEventInvokeConfig(input) {
      const found = await findConfig('DeleteFunctionEventInvokeConfig', input)
      if (isRefusal(found)) return found
      const { name, qualifier } = found
      const { revision } = await change(name, { type: 'deleteEventInvoke', qualifier, ...stamp() })
      return { revision }
    },

    async ListFunctionEventInvokeConfigs(input) {
      const read = readNamed('ListFunctionEventInvokeConfigs', input, binding)
      if (isRefusal(read)) return read
      if (read.qualifier !== undefined) return functionsOnly()
      const held = await find(read.name)
      if (held === undefined) return noFunctionToInvoke()
      const all = Object.entries(held.value.eventInvoke ?? {})
      const keyOf = ([qualifier]: (typeof all)[number]) => qualifier
      const isKey = (text: string) => /^[\w$-]{1,128}$/.test(text)
      const page = pageOf('ListFunctionEventInvokeConfigs', input, all, keyOf, isKey)
      if (isRefusal(page)) return page
      return {
        body: {
          FunctionEventInvokeConfigs: page.items.map(([qualifier, config]) =>
            eventInvokeConfiguration(read.name, qualifier, config, binding),
          ),
          NextMarker: page.nextMarker,
        },
        revision: held.revision,
      }
    },
  }
}

const told = (body: object | Refusal, revision: number | undefined): Told | Refusal =>
  isRefusal(body) ? body : { body, revision }

/** What is wrong with the destinations that a request names; a service that is not delivered to is told last. */
async function refuseDestinations(
  { name, change }: EventInvokeRequest,
  binding: ApiBinding,
): Promise<Refusal | undefined> {
  let isSupported = true
  for (const arn of [change.onFailure, change.onSuccess]) {
    if (!arn) continue
    const target = readDestination(arn, binding)
    if (isRefusal(target)) return target
    if (target === 'unsupported') isSupported = false
    else if (!(await isThere(target, binding))) return invalidDestination(arn)
    else if (target.kind === 'function' && target.name === name) return ownDestination()
  }
  return isSupported ? undefined : unsupportedDestinations(change)
}

/** Topics, buses and subjects are wherever somebody listens. */
async function isThere(target: Target, { functions, queueExists }: ApiBinding): Promise<boolean> {
  switch (target.kind) {
    case 'queue':
      return await queueExists(target.name)
    case 'function': {
      const isLatest = target.qualifier === undefined || target.qualifier === latest
      return isLatest && (await functions.read(target.name)) !== undefined
    }
    default:
      return true
  }
}
