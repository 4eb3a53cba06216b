/**
 * The sentences in which AWS says that a member is outside the service model's constraints, one at a time and several at
 * once. Source: the ValidationException rows of lambda-semantics.md, Appendix A.
 */
import { type Refusal, refuse } from './errors.ts'

/** How AWS prints a value in these sentences: Java's toString, `[a, b]` for lists and `{k=v}` for maps. */
export function printed(value: unknown): string {
  if (value === null || value === undefined) return 'null'
  if (Array.isArray(value)) return `[${value.map(printed).join(', ')}]`
  if (typeof value === 'object') {
    const pairs = Object.entries(value).map(([key, member]) => `${key}=${printed(member)}`)
    return `{${pairs.join(', ')}}`
  }
  return String(value)
}

/** One complaint: `Value '…' at 'path' failed to satisfy constraint: …`; null stands without quotes. */
export const failedConstraint = (value: unknown, at: string, constraint: string): string =>
  value === null || value === undefined
    ? `Value null at '${at}' failed to satisfy constraint: ${constraint}`
    : `Value '${printed(value)}' at '${at}' failed to satisfy constraint: ${constraint}`

export const enumConstraint = (value: unknown, at: string, values: readonly string[]): string =>
  failedConstraint(value, at, `Member must satisfy enum value set: [${values.join(', ')}]`)

export const patternConstraint = (value: unknown, at: string, pattern: string): string =>
  failedConstraint(value, at, `Member must satisfy regular expression pattern: ${pattern}`)

export const atMostLong = (value: unknown, at: string, length: number): string =>
  failedConstraint(value, at, `Member must have length less than or equal to ${length}`)

export const atLeastLong = (value: unknown, at: string, length: number): string =>
  failedConstraint(value, at, `Member must have length greater than or equal to ${length}`)

export const atMost = (value: unknown, at: string, most: number): string =>
  failedConstraint(value, at, `Member must have value less than or equal to ${most}`)

export const atLeast = (value: unknown, at: string, least: number): string =>
  failedConstraint(value, at, `Member must have value greater than or equal to ${least}`)

export const notNull = (at: string): string => failedConstraint(null, at, 'Member must not be null')

/** `1 validation error detected: …`, or `2 validation errors detected: …; …`. */
export function validationSentence(complaints: readonly string[]): string {
  const count = complaints.length
  return `${count} validation error${count === 1 ? '' : 's'} detected: ${complaints.join('; ')}`
}

export const validationFailure = (complaints: readonly string[]): Refusal =>
  refuse('ValidationException', validationSentence(complaints))
