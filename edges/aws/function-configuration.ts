/**
 * A function as AWS shows it: `FunctionConfiguration`, the same in every answer that holds one.
 *
 * Source: lambda-semantics.md §2.3 (lifecycle members) and the recorded answers of LocalStack's test_function_lifecycle and
 * test_list_functions. RuntimeVersionConfig is left out: it names a runtime image of AWS's, and there is none here.
 */
import type { FunctionRecord } from '../../machines/function.ts'
import { functionArn, type Place } from './names.ts'
import { architectureHere } from './unhonoured.ts'

/** In the order of AWS's own answers; `undefined` members are not shown. */
export function functionConfiguration(record: FunctionRecord, where: Place) {
  return { ...description(record, where), ...lifecycle(record) }
}

/**
 * As ListFunctions shows it, which leaves the states out: Lambda API, ListFunctions. With `FunctionVersion=ALL` the ARN names
 * the version.
 */
export const listedFunction = (record: FunctionRecord, where: Place, qualified: boolean) =>
  description(record, where, qualified ? '$LATEST' : undefined)

function description(record: FunctionRecord, where: Place, qualifier?: string) {
  const { name, settings, code } = record
  return {
    FunctionName: name,
    FunctionArn: functionArn(where, name, qualifier),
    Runtime: settings.runtime,
    Role: settings.role,
    Handler: settings.handler,
    CodeSize: code.sizeBytes,
    Description: settings.description,
    Timeout: settings.timeoutSeconds,
    MemorySize: settings.memoryMb,
    LastModified: awsTime(record.lastModified),
    CodeSha256: code.sha256,
    Version: '$LATEST',
    DeadLetterConfig:
      settings.deadLetterTargetArn === undefined
        ? undefined
        : { TargetArn: settings.deadLetterTargetArn },
    Environment:
      settings.environment === undefined ? undefined : { Variables: settings.environment },
    TracingConfig: { Mode: 'PassThrough' },
    RevisionId: record.revisionId,
    PackageType: 'Zip',
    Architectures: [architectureHere],
    EphemeralStorage: { Size: 512 },
    SnapStart: { ApplyOn: 'None', OptimizationStatus: 'Off' },
    LoggingConfig: { LogFormat: 'Text', LogGroup: `/aws/lambda/${name}` },
  }
}

const beingCreated = 'The function is being created.'

function lifecycle(record: FunctionRecord) {
  const { state, lastUpdate, reason } = record
  return {
    State: state,
    ...(state === 'Pending' && { StateReason: beingCreated, StateReasonCode: 'Creating' }),
    ...(state === 'Failed' && { StateReason: reason, StateReasonCode: 'InvalidZipFileException' }),
    ...(lastUpdate === 'none'
      ? state === 'Active' && { LastUpdateStatus: 'Successful' }
      : { LastUpdateStatus: lastUpdate }),
    ...(lastUpdate === 'InProgress' && {
      LastUpdateStatusReason: beingCreated,
      LastUpdateStatusReasonCode: 'Creating',
    }),
    ...(lastUpdate === 'Failed' && {
      LastUpdateStatusReason: reason,
      LastUpdateStatusReasonCode: 'InvalidZipFileException',
    }),
  }
}

/** `2026-11-23T08:55:44.000+0000`, as Lambda writes times. */
const awsTime = (iso: string) => iso.replace(/Z$/, '+0000')
