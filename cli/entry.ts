/**
 * Which file of what somebody wants to deploy is the function, and what it is called.
 */
import { existsSync, readFileSync, statSync } from 'node:fs'
import { basename, dirname, extname, join, resolve } from 'node:path'
import { Failure } from './failure.ts'

/** In the order they are looked for: what people write before what tools leave beside it. */
const extensions = ['.ts', '.mts', '.js', '.mjs', '.cjs', '.cts'] as const

export type Source = {
  /** The folder; of a file the one it is in. */
  dir: string
  isDirectory: boolean
  /** Absolute. Undefined when a folder has no file that Node could run. */
  entry: string | undefined
}

/** `handler` is `--handler`: in a folder, `src/app.run` means the file src/app. Throws Failure when nothing is there. */
export function findSource(path: string, handler?: string): Source {
  const absolute = resolve(path)
  const found = statSync(absolute, { throwIfNoEntry: false })
  if (found === undefined) throw new Failure('NO_SUCH_FILE', `there is no ${path}`)
  if (!found.isDirectory()) {
    return {
      dir: dirname(absolute),
      isDirectory: false,
      entry: isScript(absolute) ? absolute : undefined,
    }
  }
  const entry =
    (handler === undefined ? undefined : fileOfHandler(absolute, handler)) ??
    mainOf(absolute) ??
    withExtension(join(absolute, 'index'))
  return { dir: absolute, isDirectory: true, entry }
}

/**
 * `./my functions/hello.mjs` → `hello`, `./hello/index.mjs` → `hello`, `my function` → `my-function`.
 * Source of what is legal: Lambda API, CreateFunction, FunctionName: letters, digits, hyphens and underscores, up to 64.
 */
export function functionNameOf({ dir, isDirectory, entry }: Source, path: string): string {
  const file = basename(entry ?? path, extname(entry ?? path))
  const name = isDirectory || file === 'index' ? basename(dir) : file
  const legal = name
    .normalize('NFKD')
    .replace(/[^a-zA-Z0-9-_]+/g, '-')
    .replace(/^-+|-+$/g, '')
    .slice(0, 64)
  if (legal !== '') return legal
  throw new Failure('NO_NAME', `'${name}' cannot be the name of a function: give --name`)
}

/** `src/app.run` → `src/app`. Source: AWS Lambda Developer Guide, "Define Lambda function handler in Node.js". */
export const moduleOfHandler = (handler: string): string => {
  const dot = handler.lastIndexOf('.')
  return dot <= handler.lastIndexOf('/') ? handler : handler.slice(0, dot)
}

const fileOfHandler = (dir: string, handler: string): string | undefined =>
  withExtension(join(dir, moduleOfHandler(handler)))

function mainOf(dir: string): string | undefined {
  const manifest = join(dir, 'package.json')
  if (!existsSync(manifest)) return undefined
  let main: unknown
  try {
    main = JSON.parse(readFileSync(manifest, 'utf8')).main
  } catch (error) {
    throw new Failure('BAD_PACKAGE_JSON', `${manifest} is not JSON: ${(error as Error).message}`)
  }
  if (typeof main !== 'string') return undefined
  const file = join(dir, main)
  const found =
    [file].filter(isFile)[0] ?? withExtension(file) ?? withExtension(join(file, 'index'))
  if (found !== undefined) return found
  throw new Failure('NO_ENTRY', `the main of ${manifest} is '${main}', and there is no such file`)
}

const isFile = (path: string): boolean =>
  statSync(path, { throwIfNoEntry: false })?.isFile() === true

const withExtension = (path: string): string | undefined =>
  extensions.map((extension) => `${path}${extension}`).find(isFile)

const isScript = (path: string): boolean => /\.(?:[cm]?[jt]s|[jt]sx)$/.test(path)
