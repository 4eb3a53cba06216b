/**
 * The Node runtime: what runs in a sandbox's process around the user's handler.
 *
 *     init ──ready──▶ wait for an event ──▶ handler ──▶ answer ──▶ wait …
 *       └─initFailed, exit 1
 *
 * CommonJS, because an ES module costs each start 4 ms more; nothing is loaded here that a small handler does not need.
 * An uncaught exception or an unhandled rejection is nobody's business here: Node prints it and exits with 1, as on
 * nodejs24.x. What the loop needs of the global objects is taken before the user's code can replace it.
 *
 * Source: AWS Lambda Developer Guide, "Building Lambda functions with Node.js"; behaviour of aws-lambda-ric 4.0.2.
 */
'use strict'
const { readFileSync } = require('node:fs')
const { openChannel, toRuntime, toHost } = require('./channel.cjs')
const { captureOutput } = require('./output.cjs')
const { RuntimeError, describe, describeForLog } = require('./errors.cjs')

const { parse, stringify } = JSON
const { byteLength, from: bufferFrom } = Buffer
const { exit, env, resourceUsage } = process
const now = Date.now
const nextTurn = setImmediate
const toNumber = Number
const percentEncoded = encodeURIComponent

// AWS Lambda quotas, "Invocation payload (response)", as its own error text has it.
const responseLimitBytes = 6_291_556
const fromHostFd = 3
const toHostFd = 4
// Reading the high-water mark takes 3 to 40 µs, and whether the descriptor is ours is another system call: quick
// invocations in a row share one look.
const lookMs = 100
const quickMs = 5
const momentMs = 10
const orphanCheckMs = 1_000

const { AWS_LAMBDA_LOG_FORMAT: logFormat = 'Text', AWS_LAMBDA_LOG_LEVEL: logLevel = 'TRACE' } = env
const traceKey = '_X_AMZN_TRACE_ID'

const channel = openChannel(fromHostFd, toHostFd)
// Of the invocation in hand.
let requestId = '-'
let startedMs = 0
// What the first invocation compiled is kept for the next start.
let keepCompiled = false
const print = captureOutput(channel.writeOutput, () => requestId, {
  json: logFormat.toUpperCase() === 'JSON',
  level: logLevel,
})

/** @typedef {import('./handler.cjs').Handler} Handler */
/** @typedef {{ taskRoot: string, handler: string, compileCacheDir?: string }} Init */

async function start() {
  const frame = channel.read()
  if (frame?.kind !== toRuntime.init) return exit(1)
  /** @type {Init} */
  const init = parse(frame.payload)
  if (init.compileCacheDir) require('node:module').enableCompileCache(init.compileCacheDir)
  const handler = await load(init)
  exitWithHost()
  channel.write(toHost.ready, '', '')
  keepCompiled = init.compileCacheDir !== undefined
  awaitInvocation(handler)
}

/** @param {Init} init @returns {Promise<Handler>} */
async function load(init) {
  try {
    return await require('./handler.cjs').loadHandler(init.taskRoot, init.handler)
  } catch (error) {
    print('ERROR', 'Init Error', `\t${describeForLog(error)}`)
    const described = describe(error)
    channel.write(toHost.initFailed, ascii(described.errorType), stringify(described))
    throw error
  }
}

/** @param {Handler} handler */
function awaitInvocation(handler) {
  const stoodStillMs = now()
  const frame = channel.read()
  if (frame === undefined) return exit(0)
  // Timers that came due and sockets that closed while the process stood still are served before the handler; after a
  // moment there are none.
  if (now() - stoodStillMs > momentMs) nextTurn(run, handler, frame)
  else run(handler, frame)
}

/** @param {Handler} handler @param {import('./channel.cjs').Frame} frame */
async function run(handler, frame) {
  startedMs = now()
  const lines = frame.meta.split('\n')
  requestId = lines[0] ?? ''
  try {
    const result = await handler(parse(frame.payload), contextOf(lines))
    // A rejection that nobody handles ends the process before the next turn, where an answer would hide it.
    nextTurn(finish, handler, result)
  } catch (error) {
    nextTurn(fail, handler, error)
  }
}

/** @param {Handler} handler @param {unknown} result */
function finish(handler, result) {
  let answer
  try {
    answer = toJson(result)
  } catch (error) {
    return fail(handler, error)
  }
  if (tooLarge(answer)) answerError(responseTooLarge)
  else write(toHost.result, '', answer)
  goOn(handler)
}

/** @param {Handler} handler @param {unknown} error */
function fail(handler, error) {
  print('ERROR', 'Invoke Error', `\t${describeForLog(error)}`)
  answerError(describe(error))
  goOn(handler)
}

/** @param {Handler} handler */
function goOn(handler) {
  if (keepCompiled) require('node:module').flushCompileCache()
  keepCompiled = false
  awaitInvocation(handler)
}

/** @param {{ errorType: string | undefined }} described */
function answerError(described) {
  const payload = stringify(described)
  if (tooLarge(payload)) return answerError(responseTooLarge)
  write(toHost.error, `\n${ascii(described.errorType)}`, payload)
}

/** @param {string | undefined} text */
const ascii = (text) => (text === undefined ? '' : percentEncoded(`${text}`.toWellFormed()))

/** @param {number} kind @param {string} more of the meta @param {string} payload */
function write(kind, more, payload) {
  const atMs = now()
  if (atMs - startedMs >= quickMs || atMs - lookedMs >= lookMs) {
    lookedMs = atMs
    // The host waits for each answer: one written elsewhere is the last one, and ends in a timeout.
    if (!channel.isOurs()) throw new Error('The function closed the descriptor of its runtime.')
    readMemory()
  }
  channel.write(kind, `${requestId}\n${highWaterBytes}${more}`, payload)
}

/** @param {unknown} result */
function toJson(result) {
  try {
    return stringify(result === undefined ? null : result)
  } catch {
    throw new RuntimeError('Runtime.JSONStringifyError', 'Unable to stringify response body')
  }
}

/** @param {string | undefined} text */
const tooLarge = (text) =>
  text !== undefined &&
  text.length * 3 > responseLimitBytes &&
  byteLength(text) > responseLimitBytes

const responseTooLarge = Object.freeze({
  errorMessage: `Response payload size exceeded maximum allowed payload size (${responseLimitBytes} bytes).`,
  errorType: 'Function.ResponseSizeTooLarge',
})

const aboutFunction = (({
  AWS_LAMBDA_FUNCTION_NAME: functionName,
  AWS_LAMBDA_FUNCTION_VERSION: functionVersion,
  AWS_LAMBDA_FUNCTION_MEMORY_SIZE: memoryLimitInMB,
  AWS_LAMBDA_LOG_GROUP_NAME: logGroupName,
  AWS_LAMBDA_LOG_STREAM_NAME: logStreamName,
}) => ({ functionName, functionVersion, memoryLimitInMB, logGroupName, logStreamName }))(env)

// A function may bring the variable along in its environment.
let isTraced = true

/**
 * The handler's second argument, its keys in AWS's order.
 * @param {string[]} lines of the frame's meta: request id, deadline, ARN; trace id and client context (base64) may be empty
 */
function contextOf(lines) {
  const [id = '', deadline, arn = '', traceId = '', clientContext = ''] = lines
  if (traceId !== '') env[traceKey] = traceId
  else if (isTraced) delete env[traceKey]
  isTraced = traceId !== ''
  return new Context(
    id,
    toNumber(deadline),
    arn,
    isTraced ? traceId : undefined,
    clientContext === '' ? undefined : parse(bufferFrom(clientContext, 'base64').toString()),
  )
}

/** A class, because V8 makes its instances faster than literals with a prototype; the function sees a plain object. */
class Context {
  /** @param {string} awsRequestId @param {number} deadlineMs @param {string} invokedFunctionArn @param {string | undefined} traceId @param {unknown} clientContext */
  constructor(awsRequestId, deadlineMs, invokedFunctionArn, traceId, clientContext) {
    this.clientContext = clientContext
    this.identity = /** @type {string | undefined} */ (undefined)
    this.invokedFunctionArn = invokedFunctionArn
    this.awsRequestId = awsRequestId
    this.tenantId = /** @type {string | undefined} */ (undefined)
    this.xRayTraceId = traceId
    this.getRemainingTimeInMillis = () => deadlineMs - now()
    this.functionName = aboutFunction.functionName
    this.functionVersion = aboutFunction.functionVersion
    this.memoryLimitInMB = aboutFunction.memoryLimitInMB
    this.logGroupName = aboutFunction.logGroupName
    this.logStreamName = aboutFunction.logStreamName
  }
}
Reflect.deleteProperty(Context.prototype, 'constructor')
// Gone from nodejs24.x with the callbacks; older handlers still set it, to no effect.
Object.defineProperty(Context.prototype, 'callbackWaitsForEmptyEventLoop', {
  value: true,
  writable: true,
  configurable: true,
})

let lookedMs = 0
let highWaterBytes = 0
let inheritedBytes = 0

/**
 * The process's largest resident memory so far. The kernel begins getrusage's figure with the parent's size at fork: as
 * long as that hides ours, /proc tells.
 */
function readMemory() {
  const usedBytes = resourceUsage().maxRSS * 1024
  if (highWaterBytes === 0) inheritedBytes = usedBytes
  highWaterBytes = (usedBytes > inheritedBytes ? usedBytes : highWaterFromProc()) ?? usedBytes
}

function highWaterFromProc() {
  try {
    const kilobytes = /VmHWM:\s+(\d+) kB/.exec(readFileSync('/proc/self/status', 'latin1'))?.[1]
    return kilobytes === undefined ? undefined : Number(kilobytes) * 1024
  } catch {
    return undefined
  }
}

// A worker that was killed cannot end its sandboxes; one that still runs a handler ends itself.
function exitWithHost() {
  const host = process.ppid
  setInterval(() => process.ppid !== host && exit(1), orphanCheckMs).unref()
}

start()
