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
const { byteLength } = Buffer
const { exit, env, resourceUsage } = process
const now = Date.now
const nextTurn = setImmediate

// AWS Lambda quotas, "Invocation payload (response)", as its own error text has it.
const responseLimitBytes = 6_291_556
const channelFd = 3
// Reading the high-water mark takes 3 to 40 µs, so quick invocations in a row share one.
const memoryReadingMs = 100
const quickMs = 5
const momentMs = 10
const orphanCheckMs = 1_000

const { AWS_LAMBDA_LOG_FORMAT: logFormat = 'Text', AWS_LAMBDA_LOG_LEVEL: logLevel = 'TRACE' } = env
const traceKey = '_X_AMZN_TRACE_ID'

const channel = openChannel(channelFd)
let requestId = '-'
const print = captureOutput(channel.writeOutput, () => requestId, {
  json: logFormat.toUpperCase() === 'JSON',
  level: logLevel,
})

/** @typedef {import('./handler.cjs').Handler} Handler */
/** @typedef {{ taskRoot: string, handler: string, compileCacheDir?: string }} Init */
/** @typedef {{ requestId: string, deadlineMs: number, invokedFunctionArn: string, traceId?: string, clientContext?: string }} Invocation */

async function start() {
  const frame = channel.read()
  if (frame?.kind !== toRuntime.init) return exit(1)
  /** @type {Init} */
  const init = parse(frame.meta.toString())
  if (init.compileCacheDir) require('node:module').enableCompileCache(init.compileCacheDir)
  const handler = await load(init)
  exitWithHost()
  channel.write(toHost.ready, '', '')
  awaitInvocation(handler, init.compileCacheDir !== undefined)
}

/** @param {Init} init @returns {Promise<Handler>} */
async function load(init) {
  try {
    return await require('./handler.cjs').loadHandler(init.taskRoot, init.handler)
  } catch (error) {
    print('ERROR', 'Init Error', `\t${describeForLog(error)}`)
    const described = describe(error)
    channel.write(
      toHost.initFailed,
      stringify({ errorType: described.errorType }),
      stringify(described),
    )
    throw error
  }
}

/** @param {Handler} handler @param {boolean} compileCacheIsNew */
function awaitInvocation(handler, compileCacheIsNew) {
  const stoodStillMs = now()
  const frame = channel.read()
  if (frame === undefined) return exit(0)
  /** @type {Invocation} */
  const invocation = parse(frame.meta.toString())
  const text = frame.payload.toString()
  const go = async () => {
    await run(handler, invocation, text)
    if (compileCacheIsNew) require('node:module').flushCompileCache()
    awaitInvocation(handler, false)
  }
  // Timers that came due and sockets that closed while the process stood still are served before the handler; after a
  // moment there are none.
  if (now() - stoodStillMs > momentMs) nextTurn(go)
  else go()
}

/** @param {Handler} handler @param {Invocation} invocation @param {string} text */
async function run(handler, invocation, text) {
  requestId = invocation.requestId
  const startedMs = now()
  /** @type {string | undefined} */
  let answer
  try {
    const context = contextOf(invocation)
    const result = await handler(parse(text), context)
    // A rejection that nobody handles ends the process here, before an answer could hide it.
    await new Promise((resolve) => nextTurn(resolve))
    answer = toJson(result)
  } catch (error) {
    await new Promise((resolve) => nextTurn(resolve))
    print('ERROR', 'Invoke Error', `\t${describeForLog(error)}`)
    return answerError(describe(error), startedMs)
  }
  if (tooLarge(answer)) answerError(responseTooLarge, startedMs)
  else write(toHost.result, { requestId, maxMemoryBytes: maxMemoryBytes(startedMs) }, answer)
}

/** @param {{ errorType: string | undefined }} described @param {number} startedMs */
function answerError(described, startedMs) {
  const { errorType } = described
  const payload = stringify(described)
  if (tooLarge(payload)) return answerError(responseTooLarge, startedMs)
  const meta = { requestId, errorType, maxMemoryBytes: maxMemoryBytes(startedMs) }
  write(toHost.error, meta, payload)
}

/** @param {number} kind @param {object} meta @param {string} payload */
function write(kind, meta, payload) {
  if (!channel.isOurs()) throw new Error('The function closed the descriptor of its runtime.')
  channel.write(kind, stringify(meta), payload)
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

// Gone from nodejs24.x with the callbacks; older handlers still set it, to no effect.
const contextPrototype = Object.create(Object.prototype, {
  callbackWaitsForEmptyEventLoop: { value: true, writable: true, configurable: true },
})

// A function may bring the variable along in its environment.
let isTraced = true

/** The handler's second argument, its keys in AWS's order. @param {Invocation} invocation */
function contextOf(invocation) {
  const { deadlineMs, traceId, clientContext } = invocation
  if (traceId !== undefined) env[traceKey] = traceId
  else if (isTraced) delete env[traceKey]
  isTraced = traceId !== undefined
  return {
    // Carries what is not enumerable: defining that on each context would cost as much as all the rest.
    __proto__: contextPrototype,
    clientContext: clientContext === undefined ? undefined : parse(clientContext),
    identity: undefined,
    invokedFunctionArn: invocation.invokedFunctionArn,
    awsRequestId: invocation.requestId,
    tenantId: undefined,
    xRayTraceId: traceId,
    getRemainingTimeInMillis: () => deadlineMs - now(),
    functionName: aboutFunction.functionName,
    functionVersion: aboutFunction.functionVersion,
    memoryLimitInMB: aboutFunction.memoryLimitInMB,
    logGroupName: aboutFunction.logGroupName,
    logStreamName: aboutFunction.logStreamName,
  }
}

let highWaterBytes = 0
let inheritedBytes = 0
let readMs = 0

/**
 * The process's largest resident memory so far, read anew when the invocation took a while or the last reading is old.
 * The kernel begins getrusage's figure with the parent's size at fork: as long as that hides ours, /proc tells.
 * @param {number} startedMs of the invocation
 */
function maxMemoryBytes(startedMs) {
  const atMs = now()
  if (atMs - startedMs < quickMs && atMs - readMs < memoryReadingMs) return highWaterBytes
  readMs = atMs
  const usedBytes = resourceUsage().maxRSS * 1024
  if (highWaterBytes === 0) inheritedBytes = usedBytes
  highWaterBytes = (usedBytes > inheritedBytes ? usedBytes : highWaterFromProc()) ?? usedBytes
  return highWaterBytes
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
