/**
 * What a function answers to a batch: which records failed (`ReportBatchItemFailures`), and the state of a tumbling window.
 *
 *     null · "" · {} · [] · {"batchItemFailures": []} · {"batchItemFailures": null}      everything succeeded
 *     {"batchItemFailures": [{"itemIdentifier": "4959…"}]}                               from the lowest of those on, again
 *     an identifier that is empty, null, missing, or of no record of the batch           everything failed
 *
 * Source: lambda-semantics.md §5.6 (recorded: LocalStack's test_kinesis_report_batch_item_success_scenarios and
 * …_failure_scenarios), §5.8; Lambda Developer Guide, "Success and failure conditions".
 */

export type BatchResponse =
  | { kind: 'success' }
  | { kind: 'failure' }
  | { kind: 'partial'; identifiers: string[] }

/** Of a function that succeeded; whether the identifiers are of the batch is for `firstFailed` to say. */
export function readBatchResponse(payload: Uint8Array): BatchResponse {
  const answer = parse(payload)
  // Not recorded: what is no JSON cannot say what succeeded.
  if (answer === notJson) return { kind: 'failure' }
  const items = isObject(answer) ? (answer['batchItemFailures'] ?? []) : []
  if (!Array.isArray(items)) return { kind: 'failure' }
  if (items.length === 0) return { kind: 'success' }
  const identifiers = items.map(identifierOf)
  return identifiers.every((one) => one !== undefined)
    ? { kind: 'partial', identifiers }
    : { kind: 'failure' }
}

/**
 * The index of the first record that is to come again, in a batch with these sequence numbers in ascending order:
 * everything before it is done with. 0 when an identifier is of none of them.
 */
export function firstFailed(
  identifiers: readonly string[],
  sequenceNumbers: readonly string[],
): number {
  const indexes = new Map(sequenceNumbers.map((one, index) => [one, index]))
  return Math.min(...identifiers.map((one) => indexes.get(one) ?? 0))
}

/** Lambda Developer Guide, "Tumbling windows": 1 MB of state for each shard. */
export const windowStateLimitBytes = 1_048_576

/** The state to go on with, as JSON. Too large a state ends its window early. */
export function readWindowState(payload: Uint8Array): { state: string; isTooLarge: boolean } {
  const answer = parse(payload)
  const state = JSON.stringify((isObject(answer) ? answer['state'] : undefined) ?? {})
  return { state, isTooLarge: Buffer.byteLength(state) > windowStateLimitBytes }
}

function identifierOf(item: unknown): string | undefined {
  const identifier = isObject(item) ? item['itemIdentifier'] : undefined
  return typeof identifier === 'string' && identifier !== '' ? identifier : undefined
}

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

const notJson = Symbol('not JSON')
const decoder = new TextDecoder()

/** Nothing at all is null. */
function parse(payload: Uint8Array): unknown {
  if (payload.length === 0) return null
  try {
    return JSON.parse(decoder.decode(payload))
  } catch {
    return notJson
  }
}
