/** What a handler sees of nodejs24.x, and what its caller gets (lambda-semantics §1.5, §7.6, §7.7, §7.8). */
import { describe, expect, test } from 'vitest'
import { sandboxEnvironment } from '../../edges/sandbox-environment.ts'
import { type Files, functionArn, makePackage, startFunction } from './start-function.ts'

const start = async (files: Files, more: Parameters<typeof startFunction>[1] = {}) => {
  const running = startFunction(files, more)
  await running.next('ready')
  return running
}
const handler = (body: string): Files => ({ 'index.js': `exports.handler = ${body}` })
const answerOf = async (body: string, event: unknown = {}) => {
  const { is, kind, text, errorType } = await (await start(handler(body))).invoke(event)
  return { is, kind, text, errorType }
}
const initErrorOf = async (files: Files, name = 'index.handler') => {
  const running = startFunction(files, { handler: name })
  const { error, errorType } = await running.next('initFailed')
  const { code } = await running.next('exited')
  return { ...JSON.parse(error), headerType: errorType, code, log: running.log(), json: error }
}

describe('the handler is found', () => {
  test.each<[string, Files, string]>([
    ['in CommonJS', { 'index.js': 'exports.handler = async () => 1' }, 'index.handler'],
    ['in .cjs', { 'index.cjs': 'exports.handler = async () => 1' }, 'index.handler'],
    ['in .mjs', { 'index.mjs': 'export const handler = async () => 1' }, 'index.handler'],
    [
      'in .js of a package with type module',
      { 'package.json': '{"type":"module"}', 'index.js': 'export const handler = async () => 1' },
      'index.handler',
    ],
    [
      'behind a top-level await',
      {
        'index.mjs':
          "import { setTimeout } from 'node:timers/promises'\nawait setTimeout(5)\nexport const handler = async () => 1",
      },
      'index.handler',
    ],
    ['in a nested directory', { 'src/app/main.js': 'exports.run = () => 1' }, 'src/app/main.run'],
    [
      'deep in an export',
      { 'index.js': 'exports.a = { b: { handler: () => 1 } }' },
      'index.a.b.handler',
    ],
    [
      'in a default export',
      { 'index.mjs': 'export default { handler: () => 1 }' },
      'index.handler',
    ],
    ['in a file without extension', { index: 'exports.handler = () => 1' }, 'index.handler'],
    [
      'in a module of the package',
      { 'node_modules/app/index.js': 'exports.handler = () => 1' },
      'app.handler',
    ],
  ])('%s', async (_where, files, name) => {
    const running = await start(files, { handler: name })
    expect(await running.invoke({})).toMatchObject({ kind: 'result', text: '1' })
  })
})

describe('an init error has the shape of nodejs24.x (§1.5, §7.8)', () => {
  test('a missing module: Runtime.ImportModuleError with its require stack', async () => {
    const failed = await initErrorOf({ 'index.js': "require('nope')" })
    expect(failed).toMatchObject({
      headerType: 'Runtime.ImportModuleError',
      errorType: 'Runtime.ImportModuleError',
      code: 1,
    })
    expect(failed.errorMessage).toMatch(
      /^Error: Cannot find module 'nope'\nRequire stack:\n- .*index\.js/,
    )
    expect(Object.keys(JSON.parse(failed.json))).toEqual(['errorType', 'errorMessage', 'trace'])
    expect(failed.log).toMatch(
      /^\d{4}-.*Z\t-\tERROR\tInit Error \t\{"errorType":"Runtime.ImportModuleError"/,
    )
  })

  test('a missing file: Runtime.ImportModuleError', async () => {
    expect(await initErrorOf({}, 'gone.handler')).toMatchObject({
      errorType: 'Runtime.ImportModuleError',
      errorMessage: "Error: Cannot find module 'gone'\nRequire stack:\n- /var/runtime/index.mjs",
    })
  })

  test('a missing export: Runtime.HandlerNotFound', async () => {
    expect(await initErrorOf({ 'index.js': '' }, 'index.nothere')).toMatchObject({
      errorType: 'Runtime.HandlerNotFound',
      errorMessage: 'index.nothere is undefined or not exported',
    })
  })

  test('an export that is no function: Runtime.HandlerNotFound', async () => {
    expect(await initErrorOf({ 'index.js': 'exports.handler = 1' })).toMatchObject({
      errorType: 'Runtime.HandlerNotFound',
      errorMessage: 'index.handler is not a function',
    })
  })

  test.each([
    ['index', 'Bad handler'],
    [
      '../index.handler',
      "'../index.handler' is not a valid handler name. Use absolute paths when specifying root directories in handler names.",
    ],
  ])('the name %s: Runtime.MalformedHandlerName', async (name, errorMessage) => {
    expect(await initErrorOf({}, name)).toMatchObject({
      errorType: 'Runtime.MalformedHandlerName',
      errorMessage,
    })
  })

  test.each(['index.js', 'index.mjs'])(
    'bad syntax in %s: Runtime.UserCodeSyntaxError',
    async (name) => {
      const failed = await initErrorOf({ [name]: 'export const = {' })
      expect(failed.errorType).toBe('Runtime.UserCodeSyntaxError')
      expect(failed.errorMessage).toMatch(/^SyntaxError: /)
    },
  )

  test('a handler with a callback: Runtime.CallbackHandlerDeprecated', async () => {
    const failed = await initErrorOf(handler('(event, context, callback) => callback()'))
    expect(failed.errorType).toBe('Runtime.CallbackHandlerDeprecated')
    expect(failed.errorMessage).toMatch(/^ERROR: AWS Lambda has removed support for callback-based/)
  })

  test('an error thrown at import keeps its own name', async () => {
    const failed = await initErrorOf({ 'index.mjs': "throw new TypeError('no luck')" })
    expect(failed).toMatchObject({ errorType: 'TypeError', errorMessage: 'no luck', code: 1 })
    expect(failed.trace[0]).toBe('TypeError: no luck')
  })

  test('process.exit at import: nothing but the exit', async () => {
    const running = startFunction({ 'index.js': 'process.exit(7)' })
    expect(await running.next('exited')).toMatchObject({ code: 7, signal: null })
    expect(running.facts).toHaveLength(1)
  })
})

describe('an answer', () => {
  test.each([
    ['async () => {}', 'null', 'undefined is null (§1.2)'],
    ['() => "sync"', '"sync"', 'a plain value'],
    ['async (event) => event', '{"n":1,"s":"ü€😀"}', 'an object'],
    ['async () => Buffer.from("a")', '{"type":"Buffer","data":[97]}', 'an object with toJSON'],
  ])('of %s is %s', async (body, text) => {
    expect(await answerOf(body, { n: 1, s: 'ü€😀' })).toMatchObject({ kind: 'result', text })
  })

  test('that JSON cannot express is Runtime.JSONStringifyError (§1.5)', async () => {
    const { kind, text } = await answerOf('async () => 1n')
    expect(kind).toBe('error')
    expect(JSON.parse(text)).toMatchObject({
      errorType: 'Runtime.JSONStringifyError',
      errorMessage: 'Unable to stringify response body',
    })
  })

  test('of 6,291,556 bytes passes and one more is Function.ResponseSizeTooLarge (§1.4)', async () => {
    const running = await start(handler("async ({ bytes }) => 'x'.repeat(bytes - 2)"))
    expect((await running.invoke({ bytes: 6_291_556 })).payload).toHaveLength(6_291_556)
    expect(await running.invoke({ bytes: 6_291_557 })).toMatchObject({
      kind: 'error',
      errorType: 'Function.ResponseSizeTooLarge',
      text: '{"errorMessage":"Response payload size exceeded maximum allowed payload size (6291556 bytes).","errorType":"Function.ResponseSizeTooLarge"}',
    })
  })

  test('takes an event of 6,291,456 bytes (§1.4)', async () => {
    const running = await start(handler('async (event) => event.length'))
    expect((await running.invoke('x'.repeat(6_291_454))).text).toBe('6291454')
  })
})

describe('what a handler throws (§1.5)', () => {
  test('an Error: errorType, errorMessage, trace, in this order', async () => {
    const { text, errorType } = await answerOf("async () => { throw new Error('boom') }")
    const error = JSON.parse(text)
    expect(Object.keys(error)).toEqual(['errorType', 'errorMessage', 'trace'])
    expect(error).toMatchObject({ errorType: 'Error', errorMessage: 'boom' })
    expect(error.trace[0]).toBe('Error: boom')
    expect(error.trace[1]).toMatch(/^ {4}at .*handler.*index\.js:1:/)
    expect(errorType).toBe('Error')
  })

  test.each([
    ["class Mine extends Error { name = 'Mine' }; throw new Mine('x')", 'Mine', 'x'],
    ["throw Object.assign(new Error('x'), { code: 'E_X' })", 'Error', 'x'],
    ["throw new Error('x', { cause: new Error('y') })", 'Error', 'x'],
    ["throw 'text'", 'string', 'text'],
    ['throw undefined', 'undefined', 'undefined'],
    ['throw { a: 1 }', 'object', '[object Object]'],
    ['throw 7', 'number', '7'],
    [
      "throw Object.defineProperty(new Error(), 'message', { get() { throw new Error('gotcha') } })",
      'handled',
      'callback called with Error argument, but there was a problem while retrieving one or more of its message, name, and stack',
    ],
  ])('%s', async (body, errorType, errorMessage) => {
    const { text, kind } = await answerOf(`async () => { ${body} }`)
    expect(kind).toBe('error')
    expect(JSON.parse(text)).toMatchObject({ errorType, errorMessage })
  })

  test('is logged as Invoke Error before the answer', async () => {
    const running = await start(
      handler("() => { throw Object.assign(new Error('x'), { code: 7 }) }"),
    )
    await running.invoke({})
    expect(running.log()).toMatch(
      /Z\tr1\tERROR\tInvoke Error \t\{"errorType":"Error","errorMessage":"x","code":7,"stack":\["Error: x"/,
    )
  })

  test('leaves the globals of the process as they are for the next invocation (§1.5)', async () => {
    const running = await start({
      'index.js':
        'let n = 0\nexports.handler = () => { n += 1; if (n === 1) throw new Error(); return n }',
    })
    expect((await running.invoke({})).kind).toBe('error')
    expect((await running.invoke({})).text).toBe('2')
  })
})

describe('the process ends without an answer (§1.5, §7.8)', () => {
  test.each([
    ['process.exit(3)', 3],
    ['process.exit(0)', 0],
    ["setImmediate(() => { throw new Error('uncaught') }); return new Promise(() => {})", 1],
    ["Promise.reject(new Error('unhandled')); return 1", 1],
    ['return new Promise(() => {})', 0],
  ])('%s: exit %i', async (body, code) => {
    const running = await start(handler(`async () => { ${body} }`))
    running.invoke({}).catch(() => {})
    expect(await running.next('exited')).toMatchObject({ code, signal: null })
    expect(running.facts.some(({ is }) => is === 'answered')).toBe(false)
  })

  test('and what Node prints about it is in the log', async () => {
    const running = await start(handler("async () => { Promise.reject(new Error('unhandled')) }"))
    running.invoke({}).catch(() => {})
    await running.next('exited')
    expect(running.log()).toContain('Error: unhandled')
  })
})

describe('the context', () => {
  test('has the members and values of nodejs24.x', async () => {
    const taskRoot = makePackage(
      handler('(event, context) => ({ ...context, left: context.getRemainingTimeInMillis() })'),
    )
    const environment = sandboxEnvironment({
      functionName: 'f',
      version: '$LATEST',
      handler: 'index.handler',
      runtime: 'nodejs24.x',
      memoryMb: 256,
      region: 'us-east-1',
      logGroup: '/aws/lambda/f',
      logStream: 's',
      taskRoot,
      initializationType: 'on-demand',
      variables: {},
    })
    const running = await start({}, { taskRoot, environment })
    const deadlineMs = Date.now() + 60_000
    const { text } = await running.invoke(
      {},
      { deadlineMs, clientContext: Buffer.from('{"custom":{"a":1}}').toString('base64') },
    )
    const { left, ...context } = JSON.parse(text)
    expect(context).toEqual({
      clientContext: { custom: { a: 1 } },
      invokedFunctionArn: functionArn,
      awsRequestId: 'r1',
      functionName: 'f',
      functionVersion: '$LATEST',
      memoryLimitInMB: '256',
      logGroupName: '/aws/lambda/f',
      logStreamName: 's',
    })
    expect(left).toBeGreaterThan(50_000)
    expect(left).toBeLessThanOrEqual(60_000)
  })

  test('brings its own trace id to each invocation', async () => {
    const running = await start(handler('() => process.env._X_AMZN_TRACE_ID'))
    expect((await running.invoke({}, { traceId: 'Root=1-2-3' })).text).toBe('"Root=1-2-3"')
    expect((await running.invoke({})).text).toBe('null')
  })
})

describe('output (§7.6)', () => {
  const printed = async (body: string, more: Parameters<typeof startFunction>[1] = {}) => {
    const running = await start(handler(`async () => { ${body} }`), more)
    await running.invoke({})
    return running.log()
  }

  test('of the console is a line with time, request id and level', async () => {
    const log = await printed(
      "console.log('a %d', 1, { b: 2 }); console.debug('d'); console.warn('w'); console.error(new Error('e').message); console.trace('t'); console.info('two\\nlines')",
    )
    const lines = log.replaceAll(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z/gm, '<time>')
    expect(lines).toBe(
      '<time>\tr1\tINFO\ta 1 { b: 2 }\n<time>\tr1\tDEBUG\td\n<time>\tr1\tWARN\tw\n<time>\tr1\tERROR\te\n<time>\tr1\tTRACE\tt\n<time>\tr1\tINFO\ttwo\nlines\n',
    )
  })

  test('at init has - for the request id', async () => {
    const running = await start({ 'index.js': "console.log('hello'); exports.handler = () => 1" })
    expect(running.log()).toMatch(/Z\t-\tINFO\thello\n$/)
  })

  test('of process.stdout and process.stderr is raw and in order', async () => {
    const log = await printed(
      "process.stdout.write('one '); process.stderr.write('two '); process.stdout.write(Buffer.from('three ')); process.stdout.end(); process.stdout.write('four')",
    )
    expect(log).toBe('one two three four')
  })

  test('of console.table goes the same way', async () => {
    expect(await printed('console.table([{ a: 1 }])')).toContain('│ a │')
  })

  test('of descriptor 1 and of child processes is there before the answer', async () => {
    const log = await printed(
      "require('node:fs').writeSync(1, 'by fd '); require('node:child_process').execFileSync('/bin/echo', ['by child'], { stdio: 'inherit' })",
    )
    expect(log).toContain('by fd ')
    expect(log).toContain('by child')
  })

  test('with LogFormat JSON is one record a line', async () => {
    const log = await printed(
      "console.info({ a: 1 }); console.log('x %s', 'y'); console.debug('no')",
      {
        environment: { AWS_LAMBDA_LOG_FORMAT: 'JSON', AWS_LAMBDA_LOG_LEVEL: 'INFO' },
      },
    )
    const records = log
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line))
    expect(records).toMatchObject([
      { level: 'INFO', requestId: 'r1', message: { a: 1 } },
      { level: 'INFO', requestId: 'r1', message: 'x y' },
    ])
  })
})

describe('a function that is careless', () => {
  test('may replace globals that the runtime uses', async () => {
    const running = await start(
      handler(
        "() => { JSON.stringify = JSON.parse = setImmediate = Date.now = Buffer.byteLength = () => { throw new Error() }; console.log = undefined; return 'fine' }",
      ),
    )
    expect((await running.invoke({})).text).toBe('"fine"')
    expect((await running.invoke({})).text).toBe('"fine"')
  })

  test('may close every descriptor it finds: its process ends, and nothing is answered into a file', async () => {
    const running = await start(
      handler(
        "() => { const fs = require('node:fs'); for (const fd of [3, 4]) { fs.closeSync(fd); fs.openSync('/dev/null', 'w') } return 1 }",
      ),
    )
    running.invoke({}).catch(() => {})
    expect(await running.next('exited')).toMatchObject({ code: 1 })
  })

  test('may close the descriptor of its events: it answers, and its process ends before the next', async () => {
    const running = await start(handler("() => { require('node:fs').closeSync(3); return 1 }"))
    expect((await running.invoke({})).text).toBe('1')
    expect(await running.next('exited')).toMatchObject({ code: 1 })
  })

  test('does not hand its channel to the processes that it starts', async () => {
    const running = await start(
      handler(
        "() => { try { require('node:child_process').execFileSync('/bin/sh', ['-c', 'echo broken >&4'], { stdio: 'pipe' }); return 'wrote' } catch { return 'closed' } }",
      ),
    )
    expect((await running.invoke({})).text).toBe('"closed"')
  })

  test('stands still between two invocations, timers and all, and goes on in the next', async () => {
    const running = await start({
      'index.js':
        'let ticks = 0\nexports.handler = async () => { setTimeout(() => { ticks += 1 }, 1); return ticks }',
    })
    expect((await running.invoke({})).text).toBe('0')
    // Longer than the process takes on a busy machine to stand still, once it has answered.
    await new Promise((resolve) => setTimeout(resolve, 200))
    expect((await running.invoke({})).text).toBe('1')
  })
})
