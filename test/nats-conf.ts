/** A server on the repository's own nats.conf, for tests: a port and a store of the test's, passwords that it knows. */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { startNatsServer, type TestServer } from './nats-server.ts'

const conf = readFileSync(new URL('../nats.conf', import.meta.url), 'utf8')

/** In the order of the file. */
export const users = [...conf.matchAll(/user: (\w+)/g)].map(([, user = '']) => user)

export const credentials = (user: string) => ({ user, password: `password-of-${user}` })

/** Whoever calls this ends it with `stop()`. */
export async function startServerOnConf(): Promise<TestServer> {
  const storeDir = mkdtempSync(join(tmpdir(), 'lambus-test-conf-'))
  for (const user of users) {
    process.env[`LAMBUS_${user.toUpperCase()}_PASSWORD`] = credentials(user).password
  }
  // Everything else is what people are given.
  const mine = conf
    .replace(/^port: .*$/m, '')
    .replace(/^ {2}store_dir: .*$/m, `  store_dir: ${JSON.stringify(storeDir)}`)
  const server = await startNatsServer({ conf: mine })
  return {
    ...server,
    get pid() {
      return server.pid
    },
    get monitoringUrl() {
      return server.monitoringUrl
    },
    async stop() {
      await server.stop()
      rmSync(storeDir, { recursive: true, force: true })
    },
  }
}

/** `nats://user:password@…` of a user of that server. */
export function urlOf(server: TestServer, user: string): string {
  const { password } = credentials(user)
  return server.url.replace('://', `://${user}:${password}@`)
}
