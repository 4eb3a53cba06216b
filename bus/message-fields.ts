/**
 * What a message says, as a JSON object: for handlers of subjects on which more may be published than they understand.
 *
 * What is no such object is for the handler to drop. The first of a kind is logged, further ones are not, because whoever sends
 * one sends many.
 */
import type { Log, Msg } from './bus.ts'

/** Undefined: the body is no JSON, or no object. */
export function fieldsOf(message: Msg): Record<string, unknown> | undefined {
  try {
    const fields = message.json<unknown>()
    return typeof fields === 'object' && fields !== null && !Array.isArray(fields)
      ? (fields as Record<string, unknown>)
      : undefined
  } catch {
    return undefined
  }
}

/**
 * Reads messages of one kind: those of which `isOne` holds. The first that is none is logged under `code`.
 */
export function openReading<Said extends object>(
  log: Log,
  code: string,
  isOne: (fields: Partial<Record<keyof Said, unknown>>) => boolean,
): (message: Msg) => Said | undefined {
  let hasDropped = false
  return (message) => {
    const fields = fieldsOf(message)
    if (fields !== undefined && isOne(fields as Partial<Record<keyof Said, unknown>>)) {
      return fields as Said
    }
    if (!hasDropped) {
      const { subject } = message
      log.warn(
        { code, subject },
        'dropped a message that is not what is heard there; later ones are not told of',
      )
    }
    hasDropped = true
    return undefined
  }
}
