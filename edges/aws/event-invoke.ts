/**
 * The configuration of asynchronous invocation: requests read, and what is set shown in AWS's words.
 *
 * Source: lambda-semantics.md §4.2; the order of the members is the service model's, the time is a number of seconds.
 */
import type { EventInvokeChange, EventInvokeConfig } from '../../machines/function.ts'
import type { Input } from './constraints.ts'
import { isRefusal, type Refusal, refuse } from './errors.ts'
import { readNamed } from './function-requests.ts'
import { functionArn, type Place } from './names.ts'

/** The one there is without publishing: it may be named or not. */
export const latest = '$LATEST'

export type EventInvokeRequest = { name: string; qualifier: string; change: EventInvokeChange }

export function readEventInvoke(
  operation: 'PutFunctionEventInvokeConfig' | 'UpdateFunctionEventInvokeConfig',
  given: Input,
  where: Place,
): EventInvokeRequest | Refusal {
  const read = readNamed(operation, given, where)
  if (isRefusal(read)) return read
  const { name, qualifier = latest, input } = read
  const change = readChange(input)
  return Object.keys(change).length > 0
    ? { name, qualifier, change }
    : refuse(
        'InvalidParameterValueException',
        'You must specify at least one of error handling or destination setting.',
      )
}

/** A destination that is named without an ARN is one that is taken away: put_destination_success_no_destination_arn. */
function readChange(input: Input): EventInvokeChange {
  const retries = input['MaximumRetryAttempts'] as number | null | undefined
  const age = input['MaximumEventAgeInSeconds'] as number | null | undefined
  const destinations = (input['DestinationConfig'] ?? {}) as Record<
    'OnSuccess' | 'OnFailure',
    { Destination?: string | null } | null | undefined
  >
  const { OnSuccess, OnFailure } = destinations
  return {
    ...(typeof retries === 'number' ? { maximumRetryAttempts: retries } : {}),
    ...(typeof age === 'number' ? { maximumEventAgeSeconds: age } : {}),
    ...(OnSuccess ? { onSuccess: OnSuccess.Destination ?? '' } : {}),
    ...(OnFailure ? { onFailure: OnFailure.Destination ?? '' } : {}),
  }
}

/** `undefined` members are not shown; the destinations always are, empty if need be. */
export const eventInvokeConfiguration = (
  name: string,
  qualifier: string,
  config: EventInvokeConfig,
  where: Place,
) => ({
  LastModified: Date.parse(config.lastModified) / 1_000,
  FunctionArn: functionArn(where, name, qualifier),
  MaximumRetryAttempts: config.maximumRetryAttempts,
  MaximumEventAgeInSeconds: config.maximumEventAgeSeconds,
  DestinationConfig: {
    OnSuccess: { Destination: config.onSuccess },
    OnFailure: { Destination: config.onFailure },
  },
})

/** GET and DELETE of a missing function, too: test_ops_on_nonexisting_fn[get_function_event_invoke_config]. */
export const noEventInvokeConfig = (where: Place, name: string, qualifier: string): Refusal =>
  refuse(
    'ResourceNotFoundException',
    `The function ${functionArn(where, name, qualifier)} doesn't have an EventInvokeConfig`,
  )

/** What is set or listed has to be there: put_functionname_name_notfound, put_alias_doesnotexist. */
export const noFunctionToInvoke = (): Refusal =>
  refuse('ResourceNotFoundException', "The function doesn't exist.")
