/**
 * The body of a control operation as what it must be: one JSON object. The same over HTTP and over NATS.
 */
import type { Input } from './constraints.ts'
import { type Refusal, refuse } from './errors.ts'
import { jsonComplaint } from './json-complaint.ts'

/** Deeper, Jackson does not read: the default of its StreamReadConstraints since 2.15. JSON.stringify ends soon after. */
const deepest = 1_000

/** Nothing at all is an object without members. */
export function readJsonInput(body: Uint8Array): Input | Refusal {
  if (body.length === 0) return {}
  const complaint = jsonComplaint(body)
  if (complaint !== undefined) return refuse('SerializationException', complaint)
  const value: unknown = JSON.parse(Buffer.from(body).toString('utf8'))
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    return refuse('SerializationException', 'Unexpected field type')
  }
  if (isDeeper(value, deepest)) {
    return refuse(
      'SerializationException',
      `Document nesting depth (${deepest + 1}) exceeds the maximum allowed (${deepest}, from \`StreamReadConstraints.getMaxNestingDepth()\`)`,
    )
  }
  return value as Input
}

const isDeeper = (value: unknown, than: number): boolean =>
  typeof value === 'object' &&
  value !== null &&
  (than === 0 || Object.values(value).some((inner) => isDeeper(inner, than - 1)))
