/** What the house asks of every file, as far as a test can see it. DESIGN §4, STYLE "Names, files, imports". */
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { dirname, join, normalize, relative } from 'node:path'
import { fileURLToPath } from 'node:url'
import { describe, expect, test } from 'vitest'
import { knobs } from '../config.ts'
import { machineModel } from '../edges/machine-model.ts'
import { stalePages } from '../scripts/machine-docs.ts'
import { allMachines } from './machines/all.ts'
import { pathsIn } from './paths-in.ts'

const root = fileURLToPath(new URL('../', import.meta.url))
const read = (path: string) => readFileSync(join(root, path), 'utf8')
const ignored = read('.gitignore')
  .split('\n')
  .map((line) => line.replaceAll('/', ''))
/** Every file that is ours: what lies here and is not ignored. */
const files = pathsIn(root, (name) => name !== '.git' && !ignored.includes(name))
const sources = files.filter((path) => /\.[cm]?[jt]s$/.test(path))
const inFolder = (folder: string) => sources.filter((path) => path.startsWith(`${folder}/`))
const nounsOf = (folder: string) =>
  readdirSync(join(root, folder))
    .filter((name) => name.endsWith('.ts'))
    .map((name) => name.replace(/\.ts$/, ''))

/** What stands beside the machines: no machine itself. */
const notMachines = [
  'effect',
  'hash-audit',
  'lane-batches',
  'lease-plan',
  'mapping-shards',
  'pool-audit',
  'pool-ledger',
  'seat-line',
  'shard-map',
  'stream-rules',
]
const machineFiles = nounsOf('machines').filter((noun) => !notMachines.includes(noun))

describe('each machine', () => {
  test.each(machineFiles)('%s has its actor and its test, of the same name', (noun) => {
    expect(nounsOf('actors')).toContain(noun)
    expect(nounsOf('test/machines')).toContain(`${noun}.test`)
  })

  test('is known to the tests of all machines', () => {
    expect(allMachines.map(({ machine }) => machine.id).sort()).toEqual([...machineFiles].sort())
  })

  test.each(machineFiles)('%s imports XState and other machines, and nothing else', (noun) => {
    for (const imported of importsOf(`machines/${noun}.ts`)) {
      expect(imported).toMatch(/^(xstate|\.\/[a-z-]+\.ts)$/)
    }
  })

  test.each(allMachines)('$machine.id says of each state what it is', ({ machine }) => {
    const [, ...states] = machineModel(machine.config).states
    for (const { id, description } of states) expect(description, id).toMatch(/^[A-Z].*\.$/s)
  })

  test.each(allMachines)('$machine.id names every action and guard', ({ machine }) => {
    const { states, transitions } = machineModel(machine.config)
    const names = [
      ...states.flatMap(({ entry, exit }) => [...entry, ...exit]),
      ...transitions.flatMap(({ actions, guard }) => [...actions, guard ?? 'none']),
    ]
    for (const name of names) expect(name).toMatch(/^[a-z][A-Za-z]+$/)
  })

  test.each(allMachines)('$machine.id cannot go round in circles for ever', ({ machine }) => {
    expect(machine.config.options?.maxIterations).toBe(1000)
  })

  test.each(allMachines)('$machine.id keeps a context that survives being stored', (each) => {
    const { context } = each.machine.getInitialSnapshot(undefined as never, each.input as never)
    expect(JSON.parse(JSON.stringify(context))).toEqual(withoutUndefined(context))
  })
})

const withoutUndefined = (context: object) =>
  Object.fromEntries(Object.entries(context).filter(([, value]) => value !== undefined))

describe('files', () => {
  test('have names that say what is in them', () => {
    const vague = ['util', 'utils', 'helper', 'helpers', 'common', 'shared', 'core', 'service']
    const nameless = [...vague, 'services', 'types', 'index', 'misc', 'lib']
    const isVague = (path: string) =>
      path.split('/').some((part) => nameless.includes(part.replace(/\.[^.]*$/, '')))
    // What AWS's own tools expect of a function's entry file.
    const asAwsHasIt = /^examples\/[^/]+\/index\.\w+$/
    expect(sources.filter((path) => isVague(path) && !asAwsHasIt.test(path))).toEqual([])
  })

  test('are kebab-case', () => {
    const isKebab = (path: string) =>
      path.split('/').every((part) => /^\.?[a-z0-9]+(?:[-.][a-z0-9]+)*$/.test(part))
    expect(sources.filter((path) => !isKebab(path))).toEqual([])
  })

  test('are reached from something that is started: main, the CLI, exports, scripts, tests', () => {
    const { exports, bin } = JSON.parse(read('package.json'))
    const exported = Object.values(exports as Record<string, { 'lambus-source'?: string }>)
      .flatMap((each) => (typeof each === 'object' ? [each['lambus-source'] ?? ''] : []))
      .map((path) => normalize(path))
      .filter((path) => path !== '.' && !path.includes('*'))
    const started = [
      'main.ts',
      ...Object.values(bin as Record<string, string>),
      ...exported,
      ...inFolder('machines'),
      ...inFolder('scripts'),
      ...inFolder('bench'),
      ...inFolder('examples'),
      ...sources.filter((path) => path.endsWith('.test.ts')),
      'vitest.config.ts',
    ]
    const reached = new Set<string>()
    const visit = (path: string): void => {
      if (reached.has(path) || !existsSync(join(root, path))) return
      reached.add(path)
      for (const next of mentionsOf(path)) visit(next)
    }
    for (const path of started) visit(path)
    expect(sources.filter((path) => !reached.has(path))).toEqual([])
  })

  test('spell subjects in the address book alone', () => {
    const spelled = /(['"`])(?:lambus\.(?!yml|json|dev)[a-z-]+\.|\$KV\.|\$JS\.)/
    const ours = ['actors', 'bus', 'cli', 'edges', 'inspector', 'machines', 'roles'].flatMap(
      inFolder,
    )
    const isSpelling = (path: string) =>
      path !== 'bus/subjects.ts' && withoutComments(read(path)).match(spelled) !== null
    expect(ours.filter(isSpelling)).toEqual([])
  })
})

test('the pages of the machines are fresh', async () => {
  expect(await stalePages(), 'npm run docs').toEqual([])
})

test('every knob has a reason', () => {
  for (const [name, { why }] of Object.entries(knobs)) expect(why.length, name).toBeGreaterThan(10)
})

function importsOf(path: string): string[] {
  const source = withoutComments(read(path))
  return [...source.matchAll(/(?:from|import) ['"]([^'"]+)['"]/g)].map(([, what]) => what ?? '')
}

/** Files that a file imports, or names as a string or a URL to start or to read them. */
function mentionsOf(path: string): string[] {
  const source = withoutComments(read(path))
  const folder = dirname(path)
  const strings = [...source.matchAll(/['"`]([^'"`\s]+)['"`]/g)].map(([, text]) => text ?? '')
  return strings
    .flatMap((text) => [join(folder, text), text])
    .flatMap((text) => [text, ...(text.endsWith('.js') ? [text.replace(/\.js$/, '.ts')] : [])])
    .flatMap((text) => (text.includes('${') ? matching(text) : [text]))
    .map((text) => normalize(relative(root, join(root, text))))
    .filter((text) => sources.includes(text))
}

/** A path with a hole in it, like `../cli/${name}.ts`: every file that fits. */
function matching(text: string): string[] {
  if (!/\.[cm]?[jt]s$/.test(text)) return []
  const parts = normalize(text.replace(/\$\{[^}]*\}/g, '*')).split('*')
  const escaped = parts.map((part) => part.replaceAll(/[.+?^()|[\]\\/]/g, '\\$&'))
  const pattern = new RegExp(`^${escaped.join('[a-z-]+')}$`)
  return sources.filter((path) => pattern.test(path))
}

const withoutComments = (source: string): string =>
  source.replaceAll(/\/\*[\s\S]*?\*\//g, '').replaceAll(/^\s*\/\/.*$/gm, '')
