import { chmodSync, mkdirSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import {
  type Connection,
  connectionFile,
  readConnection,
  removeConnection,
  writeConnection,
} from '../../cli/connection.ts'
import { findSystem, natsOf, natsUrl, readNatsUrl } from '../../cli/system.ts'

let dir: string
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'lambus-test-cli-'))
})
afterEach(() => rmSync(dir, { recursive: true, force: true }))

const connection: Connection = {
  http: 'http://127.0.0.1:4001',
  inspector: 'http://127.0.0.1:4002',
  nats: 'nats://127.0.0.1:4003',
  user: 'lambus',
  password: 'p@ss:word',
  pid: process.pid,
}

describe('connection.json', () => {
  test('is read back as it was written, and only its owner may read it', () => {
    const dataDir = join(dir, 'new', 'data')
    writeConnection(dataDir, connection)
    expect(readConnection(dataDir)).toEqual(connection)
    expect(statSync(connectionFile(dataDir)).mode & 0o777).toBe(0o600)
  })

  test('loses the permissions that an older file of its name had', () => {
    writeFileSync(connectionFile(dir), '{}')
    chmodSync(connectionFile(dir), 0o644)
    writeConnection(dir, connection)
    expect(statSync(connectionFile(dir)).mode & 0o777).toBe(0o600)
  })

  test('is removed by the process that wrote it and by no other', () => {
    writeConnection(dir, connection)
    removeConnection(dir, process.pid + 1)
    expect(readConnection(dir)).toEqual(connection)
    removeConnection(dir, process.pid)
    expect(readConnection(dir)).toBeUndefined()
  })

  test.each([
    ['not JSON', '{'],
    ['another shape', '{"nats":1}'],
    ['null', 'null'],
  ])('that is %s is a mistake with a way out', (_, text) => {
    writeFileSync(connectionFile(dir), text)
    expect(() => readConnection(dir)).toThrow(/remove it and start again/)
  })
})

describe('the system', () => {
  test('is where lambus up is by default when nobody says anything', () => {
    expect(findSystem({ dataDir: undefined }, { LAMBUS_DATA_DIR: dir })).toEqual({
      http: 'http://127.0.0.1:4566',
      door: 'http',
      source: 'the defaults',
      isFallback: true,
      isStale: false,
    })
  })

  test('is found by its data directory, with its credentials', () => {
    writeConnection(dir, connection)
    const system = findSystem({ dataDir: dir }, {})
    expect(system).toMatchObject({ http: connection.http, door: 'http', isStale: false })
    expect(natsOf(system)).toEqual({
      url: 'nats://127.0.0.1:4003',
      user: 'lambus',
      password: 'p@ss:word',
    })
  })

  test('of a process that is gone is said to be so', () => {
    // Above the largest pid of Linux: proc(5), pid_max.
    writeConnection(dir, { ...connection, pid: 4_194_305 })
    const system = findSystem({ dataDir: dir }, {})
    expect(system.isStale).toBe(true)
    expect(system.source).toMatch(/whose process 4194305 is gone/)
  })

  test('of the environment stands before that of the data directory', () => {
    writeConnection(dir, connection)
    const environment = { LAMBUS_HTTP: 'http://127.0.0.1:9' }
    expect(findSystem({ dataDir: dir }, environment).http).toBe('http://127.0.0.1:9')
    expect(findSystem({ dataDir: dir }, {}).http).toBe(connection.http)
  })

  test('of the environment is whole: what `lambus env` exported is found again', () => {
    const system = { LAMBUS_HTTP: 'http://127.0.0.1:1', LAMBUS_NATS: 'nats://a:b@127.0.0.1:2' }
    const inspector = 'http://127.0.0.1:3'
    expect(findSystem({}, { ...system, LAMBUS_INSPECTOR: inspector }).inspector).toBe(inspector)
    expect(
      findSystem({ http: 'http://127.0.0.1:9' }, { LAMBUS_INSPECTOR: inspector }).inspector,
    ).toBe(undefined)
  })

  test('of a data directory without one is a mistake', () => {
    expect(() => findSystem({ dataDir: dir }, {})).toThrow(/is `lambus up --data-dir/)
  })

  test('of the flags stands before the environment, and is not mixed with it', () => {
    const environment = { LAMBUS_HTTP: 'http://127.0.0.1:1', LAMBUS_NATS: 'nats://a:b@127.0.0.1:2' }
    const system = findSystem({ http: 'http://127.0.0.1:3' }, environment)
    expect(system).toMatchObject({ http: 'http://127.0.0.1:3', door: 'http' })
    expect(system.nats).toBeUndefined()
  })

  test('named by one door is completed by a file that names the same door', () => {
    writeConnection(dir, connection)
    const environment = { LAMBUS_DATA_DIR: dir }
    const byHttp = findSystem({ http: 'http://127.0.0.1:4001' }, environment)
    expect(byHttp.nats).toEqual({ url: connection.nats, user: 'lambus', password: 'p@ss:word' })
    // The ready line shows no credentials.
    const byNats = findSystem({ nats: 'nats://127.0.0.1:4003' }, environment)
    expect(byNats).toMatchObject({ http: connection.http, nats: { user: 'lambus' } })
  })

  test('whose NATS address alone is on the command line is spoken to over NATS', () => {
    writeConnection(dir, connection)
    const environment = { LAMBUS_DATA_DIR: dir }
    expect(findSystem({ nats: connection.nats }, environment).door).toBe('nats')
    expect(findSystem({}, { LAMBUS_NATS: 'nats://127.0.0.1:7' }).door).toBe('nats')
    expect(findSystem({}, environment).door).toBe('http')
  })

  test('named by the flags does not mind a broken file that it does not need', () => {
    mkdirSync(join(dir, 'x'))
    writeFileSync(connectionFile(dir), '{')
    const flags = { http: 'http://127.0.0.1:1' }
    expect(findSystem(flags, { LAMBUS_DATA_DIR: dir }).http).toBe('http://127.0.0.1:1')
  })

  test('without a known bus says how to name one', () => {
    const system = findSystem({ http: 'http://127.0.0.1:1' }, { LAMBUS_DATA_DIR: dir })
    expect(() => natsOf(system)).toThrow(/give --nats nats:\/\/user:password@host:4222/)
  })
})

describe('a NATS address', () => {
  test('keeps credentials of any letters on its way there and back', () => {
    const nats = { url: 'nats://127.0.0.1:4222', user: 'a b', password: 'p@:/%ü' }
    expect(readNatsUrl(natsUrl(nats))).toEqual(nats)
  })

  test('may lack its scheme and its port', () => {
    expect(readNatsUrl('example')).toEqual({ url: 'nats://example:4222' })
  })

  test.each(['http://127.0.0.1:4222', 'nats://', '::'])(
    'that is none (%s) is refused without being repeated',
    (text) => {
      expect(() => readNatsUrl(text)).toThrow('a NATS address looks like nats://127.0.0.1:4222')
    },
  )
})
