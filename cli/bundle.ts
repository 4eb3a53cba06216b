/**
 * One file out of many: TypeScript and what it imports, as a function's code. Everything is inside, AWS's SDK too: what a
 * runtime ships can change under a function, and ours ships none.
 *
 * The format follows the source. An ES module stays one, so that top-level await and `import.meta` work; CommonJS stays
 * CommonJS, because the names it exports are known only when it runs. Each gets what its dependencies may miss of the
 * other: `require`, `__filename` and `__dirname` there, `import.meta` here.
 */
import { readFileSync } from 'node:fs'
import { dirname, extname, join, relative } from 'node:path'
import type { BuildOptions, Message, Plugin } from 'esbuild'
import { Failure } from './failure.ts'

export type Bundle = { bytes: Uint8Array; extension: '.mjs' | '.cjs' }

type Format = 'esm' | 'cjs'

/** `entry` is absolute. Throws Failure with each place that does not build. */
export async function bundle(entry: string, options: { sourcemap: boolean }): Promise<Bundle> {
  // Loaded here: no other command needs it.
  const { build } = await import('esbuild')
  const common = {
    entryPoints: [entry],
    // Paths stand in the comments of a bundle: relative to here, so that a copy elsewhere gives the same bytes.
    absWorkingDir: dirname(entry),
    platform: 'node' as const,
    target: 'node24',
    write: false as const,
    logLevel: 'silent' as const,
    outdir: '/',
  }
  try {
    const format = await formatOf(entry, () => build({ ...common, metafile: true }))
    const { outputFiles } = await build({
      ...common,
      ...formats[format],
      bundle: true,
      sourcemap: options.sourcemap ? 'inline' : false,
      sourcesContent: true,
      legalComments: 'none',
    })
    const bytes = outputFiles?.[0]?.contents
    if (bytes === undefined) throw new Error('esbuild made no file')
    return { bytes, extension: format === 'esm' ? '.mjs' : '.cjs' }
  } catch (error) {
    throw explained(error, entry)
  }
}

/** Names of the CommonJS world for an ES module; only where they are used and not declared by the code itself. */
const commonJsNames: Plugin = {
  name: 'names of CommonJS',
  setup(build) {
    build.onResolve({ filter: /^lambus:commonjs$/ }, () => ({
      path: 'commonjs',
      namespace: 'lambus',
      sideEffects: false,
    }))
    build.onLoad({ filter: /.*/, namespace: 'lambus' }, () => ({
      contents:
        'export const __filename = import.meta.filename\nexport const __dirname = import.meta.dirname\n',
    }))
  },
}

const formats: Record<Format, BuildOptions> = {
  esm: {
    format: 'esm',
    outExtension: { '.js': '.mjs' },
    plugins: [commonJsNames],
    inject: ['lambus:commonjs'],
    banner: {
      js: "import { createRequire as $lambusCreateRequire } from 'node:module';const require = $lambusCreateRequire(import.meta.url);",
    },
  },
  cjs: {
    format: 'cjs',
    outExtension: { '.js': '.cjs' },
    define: {
      'import.meta.url': '$lambusUrl',
      'import.meta.filename': '__filename',
      'import.meta.dirname': '__dirname',
    },
    banner: { js: "const $lambusUrl = require('node:url').pathToFileURL(__filename).href;" },
  },
}

type Built = { metafile: { inputs: Record<string, { format?: Format }> } }

async function formatOf(entry: string, parse: () => Promise<Built>): Promise<Format> {
  const extension = extname(entry)
  if (/^\.m/.test(extension)) return 'esm'
  if (/^\.c/.test(extension)) return 'cjs'
  const { metafile } = await parse()
  return Object.values(metafile.inputs)[0]?.format ?? (isInModulePackage(entry) ? 'esm' : 'cjs')
}

/** Source: Node.js, "Determining module system": the nearest package.json's `type`. */
function isInModulePackage(file: string): boolean {
  for (let dir = dirname(file); dir !== dirname(dir); dir = dirname(dir)) {
    try {
      return JSON.parse(readFileSync(join(dir, 'package.json'), 'utf8')).type === 'module'
    } catch {
      // None here, or none that can be read.
    }
  }
  return false
}

function explained(error: unknown, entry: string): unknown {
  const errors: Message[] = (error as { errors?: Message[] }).errors ?? []
  if (errors.length === 0) return error
  const missing = new Set(errors.flatMap(({ text }) => packageMissing(text) ?? []))
  if (missing.size > 0 && errors.every(({ text }) => packageMissing(text) !== undefined)) {
    const dir = packageDir(entry)
    return new Failure(
      'DEPENDENCY_MISSING',
      `${[...missing].map((name) => `'${name}'`).join(', ')} ${missing.size === 1 ? 'is' : 'are'} not installed: run \`npm install\` in ${relative('', dir) || '.'} first`,
      error,
    )
  }
  const lines = errors.map(({ text, location }) => {
    const hint = /No loader is configured/.test(text)
      ? ' (--no-bundle deploys files as they are)'
      : ''
    return location === null
      ? `${text}${hint}`
      : `${relative('', join(dirname(entry), location.file))}:${location.line}:${location.column + 1}: ${text}${hint}`
  })
  return new Failure('DOES_NOT_BUILD', lines.join('\n'), error)
}

/** `Could not resolve "@scope/name/part"` → `@scope/name`; undefined for a path, and for every other error. */
function packageMissing(text: string): string | undefined {
  const specifier = /^Could not resolve "([^"./][^"]*)"/.exec(text)?.[1]
  return specifier === undefined ? undefined : /^(@[^/]+\/)?[^/]+/.exec(specifier)?.[0]
}

function packageDir(entry: string): string {
  for (let dir = dirname(entry); dir !== dirname(dir); dir = dirname(dir)) {
    try {
      readFileSync(join(dir, 'package.json'))
      return dir
    } catch {
      // Further up.
    }
  }
  return dirname(entry)
}
