#!/usr/bin/env node
/**
 * The `lambus` command, as far as an older Node understands it.
 *
 * Node 24 is the floor: from there TypeScript runs unbuilt. On an older Node this file starts itself again with the
 * Node 24 that came with the package (npm package `node`, an optional dependency) and stands in for it: same
 * terminal, same exit code, same signals, same death. Plain JavaScript, and nothing in it that Node 20 lacks.
 */
import { spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import * as nodeModule from 'node:module'
import { homedir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { setFlagsFromString } from 'node:v8'

const floor = 24
/** Set from one start to the next: whoever else opened a channel to us means something else by closing it. */
const launched = 'LAMBUS_LAUNCHED'

if (Number.parseInt(process.versions.node, 10) >= floor) await run()
else startAgain(newerNode())

async function run() {
  // Also keeps what type stripping made: 18 MB and 40 ms less for each start, measured. Not in the default place below
  // /tmp, where another user of the machine could have put something for us to run.
  const { XDG_CACHE_HOME, NODE_COMPILE_CACHE } = process.env
  const cache = XDG_CACHE_HOME || join(homedir(), '.cache')
  nodeModule.enableCompileCache(NODE_COMPILE_CACHE ?? join(cache, 'lambus', 'compile'))
  // Otherwise V8 learns from a busy moment that some objects live long, and makes their like in the old generation from
  // then on. What an invocation makes lives for milliseconds.
  setFlagsFromString('--no-allocation-site-pretenuring')
  dieWithLauncher()
  const source = fileURLToPath(new URL('../cli/lambus.ts', import.meta.url))
  const built = fileURLToPath(new URL('../dist/cli/lambus.js', import.meta.url))
  const { lambus } = await import(pathToFileURL(existsSync(source) ? source : built).href)
  const code = await lambus(process.argv.slice(2))
  await Promise.all([said(process.stdout), said(process.stderr)])
  // Everything was said and ended: a socket that somebody forgot must not keep a command from ending, too.
  process.exit(code)
}

/**
 * What a slow reader has not taken yet would be lost with the process.
 * @param {NodeJS.WriteStream} stream
 * @returns {Promise<void>}
 */
function said(stream) {
  return new Promise((resolve) => {
    if (stream.destroyed || stream.writableLength === 0) resolve()
    else stream.write('', () => resolve())
  })
}

/** A kill -9 of the launcher cannot be passed on; the closed channel tells us, and we end as it did. */
function dieWithLauncher() {
  if (process.env[launched] === undefined || process.channel === undefined) return
  delete process.env[launched]
  process.once('disconnect', () => process.kill(process.pid, 'SIGKILL'))
  // Listening would keep a finished command waiting.
  process.channel?.unref()
}

/** @returns {string} */
function newerNode() {
  try {
    const manifest = nodeModule.createRequire(import.meta.url).resolve('node/package.json')
    const binary = join(manifest, '..', 'bin', process.platform === 'win32' ? 'node.exe' : 'node')
    if (existsSync(binary)) return binary
  } catch {
    // Not installed: the same as installed without its binary.
  }
  process.stderr.write(
    `lambus needs Node ${floor} or newer. This is Node ${process.versions.node}, and the Node ${floor} of the npm package 'node' is not installed beside it:\n` +
      `install Node ${floor}, or install lambus again without '--omit=optional' and '--ignore-scripts'.\n`,
  )
  process.exit(1)
}

/** @param {string} binary */
function startAgain(binary) {
  const child = spawn(
    binary,
    [...process.execArgv, fileURLToPath(import.meta.url), ...process.argv.slice(2)],
    // In a session of its own, so that a Ctrl-C of the terminal reaches us alone and we pass it on, once.
    {
      stdio: ['inherit', 'inherit', 'inherit', 'ipc'],
      detached: true,
      env: { ...process.env, [launched]: '1' },
    },
  )
  for (const signal of /** @type {NodeJS.Signals[]} */ (['SIGINT', 'SIGTERM', 'SIGHUP'])) {
    process.on(signal, () => child.kill(signal))
  }
  child.on('error', (error) => {
    process.stderr.write(`lambus cannot start ${binary}: ${error.message}\n`)
    process.exit(1)
  })
  child.on('exit', (code, signal) => {
    if (signal === null) process.exit(code ?? 1)
    process.removeAllListeners(signal)
    process.kill(process.pid, signal)
  })
}
