/** What the documents say of files, commands, machines and dependencies, compared with what there is. */
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { describe, expect, test } from 'vitest'
import { allMachines } from './machines/all.ts'
import { pathsIn } from './paths-in.ts'

const root = fileURLToPath(new URL('../', import.meta.url))
const read = (path: string) => readFileSync(join(root, path), 'utf8')
const isThere = (path: string) => existsSync(join(root, path))

const notOurs = ['node_modules', 'dist', '.git', '.lambus']
const documents = pathsIn(root, (name) => !notOurs.includes(name)).filter((path) =>
  path.endsWith('.md'),
)
const { scripts, dependencies, optionalDependencies, devDependencies } = JSON.parse(
  read('package.json'),
) as Record<string, Record<string, string>>

const matches = (text: string, pattern: RegExp): string[] =>
  [...text.matchAll(pattern)].map(([, found]) => found ?? '')

describe('README', () => {
  test('has at most 150 lines', () => {
    expect(read('README.md').trimEnd().split('\n').length).toBeLessThanOrEqual(150)
  })

  test('shows of the loop what stands in the loop, in its order', () => {
    const [excerpt = ''] = matches(read('README.md'), /^```ts\n(.*?)^```$/gms)
    const lines = excerpt.split('\n').filter((line) => line !== '' && !line.endsWith('// …'))
    const loop = read('actors/actor.ts').split('\n')
    expect(lines.length).toBeGreaterThan(5)
    let from = 0
    for (const line of lines) {
      const at = loop.indexOf(line, from)
      expect(at, `actors/actor.ts does not say: ${line}`).not.toBe(-1)
      from = at + 1
    }
  })

  test.each(allMachines.map(({ machine }) => machine.id))(
    'has the machine %s in its table',
    (id) => {
      expect(read('README.md')).toContain(`| [${id}](machines/${id}.ts) |`)
    },
  )
})

describe('ARCHITECTURE', () => {
  test('names files that there are', () => {
    const named = matches(read('ARCHITECTURE.md'), /`([\w./-]+)`/g).filter(
      (name) => /^[\w.-]+\/[\w./-]*$/.test(name) || /\.(ts|js|cjs|conf)$/.test(name),
    )
    expect(named.length).toBeGreaterThan(50)
    expect(named.filter((path) => !isThere(path))).toEqual([])
  })

  test.each(readdirSync(join(root, 'roles')).filter((name) => name !== 'role.ts'))(
    'has the role of %s in its table',
    (name) => expect(read('ARCHITECTURE.md')).toContain(`| \`roles/${name}\` |`),
  )
})

describe.each(documents)('%s', (document) => {
  const text = read(document)

  test('links to what is there', () => {
    const links = matches(text, /\]\(([^)\s]+)\)/g).filter((link) => !/^(\w+:|#)/.test(link))
    const broken = links.filter(
      (link) => !isThere(join(dirname(document), link.replace(/#.*$/, ''))),
    )
    expect(broken).toEqual([])
  })

  test('names npm scripts that there are', () => {
    const named = matches(text, /\bnpm (?:run )?(start|test|(?<=run )[\w:-]+)/g)
    expect(named.filter((name) => !(name in (scripts ?? {})))).toEqual([])
  })
})

describe('docs/decisions', () => {
  const decisions = readdirSync(join(root, 'docs/decisions')).sort()

  test('are numbered one after the other', () => {
    const numbers = decisions.map((name) => Number(/^(\d{4})-[a-z0-9-]+\.md$/.exec(name)?.[1]))
    expect(numbers).toEqual(decisions.map((_, index) => index + 1))
  })

  test.each(decisions)(
    '%s has a title with its number, context, decision and consequences',
    (name) => {
      const text = read(`docs/decisions/${name}`)
      expect(text).toMatch(new RegExp(`^# ${Number(name.slice(0, 4))}\\. `))
      const headings = matches(text, /^## (.*)$/gm)
      const needed = ['Context', 'Decision', 'Consequences']
      expect(headings.filter((heading) => needed.includes(heading))).toEqual(needed)
    },
  )

  const all = { ...dependencies, ...optionalDependencies, ...devDependencies }
  test.each(Object.keys(all))('0004 has a line for %s with its licence', (name) => {
    const lines = read('docs/decisions/0004-the-dependencies.md').split('\n')
    const line = lines.find((each) => each.startsWith(`| \`${name}\` |`))
    // The licence of what is not installed here (an optional one) cannot be looked up.
    const installed = `node_modules/${name}/package.json`
    const { license = '' } = isThere(installed) ? JSON.parse(read(installed)) : {}
    expect(line).toContain(`| ${license}`)
  })

  test('0004 has no line for a dependency that is none', () => {
    const named = matches(read('docs/decisions/0004-the-dependencies.md'), /^\| `([^`]+)` \|/gm)
    expect(named.filter((name) => !(name in all))).toEqual([])
  })
})
