/**
 * Finds the function that `file.export` names: `index.handler`, `src/app.handler`, `index.api.v1.handler`.
 *
 * Files are tried as AWS tries them: as named, then `.js`, `.mjs`, `.cjs`, then as a package. CommonJS and ES modules
 * both come through require(), which costs a small handler less than import(); a module that awaits at its top level is
 * the one case that needs import().
 *
 * Source: AWS Lambda Developer Guide, "Define Lambda function handler in Node.js"; error types and texts are those of
 * aws-lambda-ric 4.0.2.
 */
'use strict'
const { statSync } = require('node:fs')
const path = require('node:path')
const { createRequire } = require('node:module')
const { RuntimeError } = require('./errors.cjs')

// The name that users of AWS see as the last line of a "Require stack".
const userRequire = createRequire('/var/runtime/index.mjs')

/** @typedef {(event: unknown, context: object) => unknown} Handler */

/**
 * @param {string} taskRoot
 * @param {string} handlerName
 * @returns {Promise<Handler>}
 */
async function loadHandler(taskRoot, handlerName) {
  const { folder, file, exported } = parse(handlerName)
  const handler = pick(await loadFile(taskRoot, folder, file), exported)
  if (!handler) {
    throw new RuntimeError('Runtime.HandlerNotFound', `${handlerName} is undefined or not exported`)
  }
  if (typeof handler !== 'function') {
    throw new RuntimeError('Runtime.HandlerNotFound', `${handlerName} is not a function`)
  }
  if (handler.length >= 3) {
    throw new RuntimeError(
      'Runtime.CallbackHandlerDeprecated',
      'ERROR: AWS Lambda has removed support for callback-based function handlers starting with Node.js 24. You need to modify this function to use a supported handler signature to use Node.js 24 or later. For more information see https://docs.aws.amazon.com/lambda/latest/dg/nodejs-handler.html.',
    )
  }
  return handler
}

/** @param {string} handlerName */
function parse(handlerName) {
  if (handlerName.includes('..')) {
    throw new RuntimeError(
      'Runtime.MalformedHandlerName',
      `'${handlerName}' is not a valid handler name. Use absolute paths when specifying root directories in handler names.`,
    )
  }
  const base = path.basename(handlerName)
  const dot = base.indexOf('.')
  if (dot < 0) throw new RuntimeError('Runtime.MalformedHandlerName', 'Bad handler')
  return {
    folder: handlerName.slice(0, handlerName.indexOf(base)),
    file: base.slice(0, dot),
    exported: base.slice(dot + 1),
  }
}

/** @param {string} taskRoot @param {string} folder @param {string} file */
async function loadFile(taskRoot, folder, file) {
  try {
    const stem = path.resolve(taskRoot, folder, file)
    for (const extension of ['', '.js', '.mjs', '.cjs']) {
      if (statSync(stem + extension, { throwIfNoEntry: false })?.isFile()) {
        return await load(stem + extension)
      }
    }
    const paths = [taskRoot, path.join(taskRoot, folder)]
    return await load(userRequire.resolve(file, { paths }))
  } catch (error) {
    throw asImportError(error)
  }
}

/** @param {string} file */
function load(file) {
  try {
    return userRequire(file)
  } catch (error) {
    if (codeOf(error) !== 'ERR_REQUIRE_ASYNC_MODULE') throw error
    return import(require('node:url').pathToFileURL(file).href)
  }
}

/** @param {unknown} error */
const codeOf = (error) => (error instanceof Error && 'code' in error ? error.code : undefined)

/** @param {unknown} error */
function asImportError(error) {
  if (error instanceof SyntaxError) {
    const wrapped = new RuntimeError('Runtime.UserCodeSyntaxError', String(error))
    if (error.stack !== undefined) wrapped.stack = error.stack
    return wrapped
  }
  if (codeOf(error) !== 'MODULE_NOT_FOUND') return error
  return new RuntimeError('Runtime.ImportModuleError', String(error))
}

/** Follows `a.b.handler` into the module, then into its default export. @param {any} module @param {string} exported */
function pick(module, exported) {
  const keys = exported.split('.')
  /** @param {any} from */
  const follow = (from) =>
    keys.reduce((at, key) => (at && typeof at === 'object' ? at[key] : undefined), from)
  const isObject = typeof module === 'object' && module !== null
  return follow(module) || (isObject && 'default' in module ? follow(module.default) : undefined)
}

module.exports = { loadHandler }
