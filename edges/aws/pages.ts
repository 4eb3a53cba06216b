/**
 * Lists in pages, as AWS's are: `MaxItems` of them, and a `NextMarker` that the next request gives back as its `Marker`.
 *
 * The marker is the key after which the next page begins, as base64: AWS's own is opaque, too.
 */
import type { Input } from './constraints.ts'
import { type Refusal, refuse } from './errors.ts'

/** Lambda API, ListFunctions: at most 50 in an answer, whatever is asked for. */
const mostItems = 50

export type Page<T> = { items: T[]; nextMarker: string | undefined }

/**
 * The page of `all` that a request asks for, in the order of their keys. `isKey`: what a marker may hold. `most`: how many
 * are in an answer at most, default 50.
 */
export function pageOf<T>(
  operation: string,
  input: Input,
  all: readonly T[],
  keyOf: (item: T) => string,
  isKey: (text: string) => boolean,
  most = mostItems,
): Page<T> | Refusal {
  const given = input['Marker'] ? String(input['Marker']) : undefined
  const marker = given === undefined ? '' : Buffer.from(given, 'base64').toString()
  if (given !== undefined && !isKey(marker)) {
    return refuse('InvalidParameterValueException', `The Marker is not one that ${operation} gave.`)
  }
  const after = all
    .filter((item) => keyOf(item) > marker)
    .sort((one, other) => (keyOf(one) < keyOf(other) ? -1 : 1))
  const items = after.slice(0, Math.min(Number(input['MaxItems'] ?? most), most))
  const last = items.at(-1)
  return {
    items,
    nextMarker:
      last !== undefined && after.length > items.length
        ? Buffer.from(keyOf(last)).toString('base64')
        : undefined,
  }
}
