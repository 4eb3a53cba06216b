/**
 * The inspector: a page that shows the processes of the system and their machines, as they are now.
 */
import { readFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { Bus } from '../bus/bus.ts'
import * as subjects from '../bus/subjects.ts'
import type { Process, Role } from './role.ts'

const page = new URL('../inspector/page/index.html', import.meta.url)
/** Everyone who is there answers in a few milliseconds. */
const ANSWER_MS = 150

export async function startInspector({ bus, config, log }: Process): Promise<Role> {
  const html = await readFile(page)
  const server = createServer(async (request, response) => {
    const path = new URL(request.url ?? '/', 'http://inspector').pathname
    try {
      if (path === '/') response.setHeader('content-type', 'text/html; charset=utf-8').end(html)
      else if (path === '/status') {
        response.setHeader('content-type', 'application/json').end(await statusOf(bus))
      } else response.writeHead(404).end()
    } catch (error) {
      log.error({ code: 'INSPECTOR_FAILED', path, err: error }, 'a page was not served')
      response.writeHead(500).end()
    }
  })
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen(config.inspectorPort, '127.0.0.1', resolve)
  })
  const { port } = server.address() as AddressInfo
  return {
    hosts: [],
    address: `http://127.0.0.1:${port}`,
    stop: () =>
      new Promise((resolve) => {
        server.close(() => resolve())
        server.closeAllConnections()
      }),
  }
}

async function statusOf(bus: Bus): Promise<string> {
  const answers = await bus.askAll(subjects.status, undefined, { waitMs: ANSWER_MS })
  return `[${answers.map((answer) => answer.string()).join(',')}]`
}
