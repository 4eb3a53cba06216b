/**
 * Everything that the function prints from JavaScript, in one order with its answers.
 *
 * `console.*` becomes AWS's lines, `<ISO time>\t<request id>\t<LEVEL>\t<text>\n`; `process.stdout` and `process.stderr`
 * become streams onto the same channel. What native code and child processes print goes to descriptors 1 and 2, which
 * the host reads beside it. util and stream are loaded at the first print: they cost a start 2 ms.
 *
 * Source: AWS Lambda Developer Guide, "Log and monitor Node.js Lambda functions"; levels and the `-` before the first
 * invocation are those of aws-lambda-ric 4.0.2.
 */
'use strict'
const { stringify } = JSON

/**
 * @param {(output: Uint8Array | string) => void} write
 * @param {() => string} requestId
 * @param {{ json: boolean, level: string }} format
 */
function captureOutput(write, requestId, format) {
  /** @param {string} level @param {unknown[]} args */
  const line = (level, args) =>
    format.json ? jsonLine(requestId(), level, args) : textLine(requestId(), level, args)
  /** @param {string} level @param {unknown[]} args */
  const print = (level, ...args) => write(line(level, args))
  replaceConsole(print, format.level)
  replaceStream('stdout', 1, write)
  replaceStream('stderr', 2, write)
  return print
}

const levels = ['TRACE', 'DEBUG', 'INFO', 'WARN', 'ERROR', 'FATAL']

/** @param {(level: string, ...args: unknown[]) => void} print @param {string} lowest */
function replaceConsole(print, lowest) {
  const floor = Math.max(0, levels.indexOf(lowest.toUpperCase()))
  /** @param {string} level */
  const at = (level) =>
    levels.indexOf(level) < floor
      ? () => {}
      : /** @param {unknown[]} args */ (...args) => print(level, ...args)
  Object.assign(console, {
    trace: at('TRACE'),
    debug: at('DEBUG'),
    info: at('INFO'),
    log: at('INFO'),
    warn: at('WARN'),
    error: at('ERROR'),
    fatal: at('FATAL'),
  })
}

/** @param {string} id @param {string} level @param {unknown[]} args */
const textLine = (id, level, args) =>
  `${new Date().toISOString()}\t${id}\t${level}\t${require('node:util').format(...args)}\n`

/** LogFormat JSON. One argument is kept as it is, several become a text. @param {string} id @param {string} level @param {unknown[]} args */
function jsonLine(id, level, args) {
  const { format } = require('node:util')
  const record = { timestamp: new Date().toISOString(), level, requestId: id }
  if (args.length !== 1) {
    const error = args.find((arg) => arg instanceof Error)
    return `${stringify({ ...record, message: format(...args), ...(error && errorFields(error)) })}\n`
  }
  try {
    const replacer = (/** @type {string} */ _key, /** @type {unknown} */ value) =>
      value instanceof Error ? { ...errorFields(value), ...value } : value
    return `${stringify({ ...record, message: args[0] }, replacer)}\n`
  } catch {
    return `${stringify({ ...record, message: format(args[0]) })}\n`
  }
}

/** @param {Error} error */
const errorFields = (error) => ({
  errorType: error.constructor?.name ?? 'UnknownError',
  errorMessage: error.message,
  stackTrace: typeof error.stack === 'string' ? error.stack.split('\n') : [],
})

/** @param {'stdout' | 'stderr'} name @param {number} fd @param {(output: Uint8Array | string) => void} write */
function replaceStream(name, fd, write) {
  /** @type {import('node:stream').Writable | undefined} */
  let stream
  Object.defineProperty(process, name, {
    configurable: true,
    enumerable: true,
    get: () => (stream ??= openStream(fd, write)),
  })
}

/** @param {number} fd @param {(output: Uint8Array | string) => void} write */
function openStream(fd, write) {
  const { Writable } = require('node:stream')
  const stream = new Writable({
    write(chunk, _encoding, done) {
      write(chunk)
      done()
    },
    // As Node's own: a process's standard streams cannot be closed.
    destroy(error, done) {
      done(error)
    },
  })
  stream.end = (/** @type {any} */ chunk) => {
    if (chunk !== undefined && typeof chunk !== 'function') stream.write(chunk)
    return stream
  }
  stream.destroy = () => stream
  return Object.assign(stream, { fd, _type: 'pipe' })
}

module.exports = { captureOutput }
