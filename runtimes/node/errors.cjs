/**
 * What AWS answers when a Node function fails: `{"errorType","errorMessage","trace"}`, in this order.
 *
 * Source: the behaviour of aws-lambda-ric 4.0.2, the runtime client of nodejs24.x (reference: AWS Lambda "Function
 * errors", recorded payloads of nodejs16.x–24.x).
 */
'use strict'

/** An error of the runtime itself. As on AWS, the name is given late, so that the stack still opens with "Error: ". */
class RuntimeError extends Error {
  /** @param {string} name @param {string} message */
  constructor(name, message) {
    super(message)
    this.name = name
  }
}

// AWS writes the DEL character this way: X-Ray, which gets the same texts, refuses it.
/** @param {unknown} text */
const withoutDel = (text) =>
  typeof text === 'string' ? text.replaceAll('\x7F', '%7F') : /** @type {undefined} */ (text)

const unreadable = Object.freeze({
  errorType: 'handled',
  errorMessage:
    'callback called with Error argument, but there was a problem while retrieving one or more of its message, name, and stack',
  trace: [],
})

/**
 * The payload for anything that a handler can throw.
 * @param {unknown} thrown
 * @returns {{ errorType: string | undefined, errorMessage: string | undefined, trace: string[] | readonly string[] }}
 */
function describe(thrown) {
  try {
    if (!(thrown instanceof Error)) {
      return { errorType: typeof thrown, errorMessage: String(thrown), trace: [] }
    }
    return {
      errorType: withoutDel(thrown.name),
      errorMessage: withoutDel(thrown.message),
      trace: withoutDel(thrown.stack)?.split('\n') ?? [],
    }
  } catch {
    return unreadable
  }
}

/** The same for the log: `code` and the error's own properties too, `stack` in lines. @param {unknown} thrown */
function describeForLog(thrown) {
  try {
    const error = thrown instanceof Error ? thrown : new Error(String(thrown))
    return JSON.stringify(error, (_key, value) => (value instanceof Error ? spread(value) : value))
  } catch {
    return JSON.stringify(describe(thrown))
  }
}

/** @param {Error & { code?: unknown }} error */
const spread = (error) => ({
  errorType: error.name,
  errorMessage: error.message,
  code: error.code,
  ...error,
  ...(typeof error.stack === 'string' && { stack: error.stack.split('\n') }),
})

module.exports = { RuntimeError, describe, describeForLog }
