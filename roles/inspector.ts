/**
 * The inspector: a page that shows the processes of the system and their machines, as they are now; and metrics for
 * Prometheus.
 */
import { readFile } from 'node:fs/promises'
import { createServer, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { collectShardReports } from '../actors/shards-report.ts'
import type { Bus } from '../bus/bus.ts'
import * as subjects from '../bus/subjects.ts'
import type { StreamMetrics } from '../edges/stream-metrics.ts'
import type { Process, Role } from './role.ts'

const page = new URL('../inspector/page/index.html', import.meta.url)
/** Everyone who is there answers in a few milliseconds. */
const ANSWER_MS = 150

export async function startInspector({ bus, config, clock, log }: Process): Promise<Role> {
  const html = await readFile(page)
  const reports = collectShardReports(bus, clock)
  let metrics: Promise<StreamMetrics> | undefined
  // Not loaded where nobody asks for it: every process has this file.
  const loadMetrics = async () =>
    (await import('../edges/stream-metrics.ts')).streamMetrics(reports.all)

  const pages: Record<string, (response: ServerResponse) => Promise<void>> = {
    '/': async (response) => {
      response.setHeader('content-type', 'text/html; charset=utf-8').end(html)
    },
    '/status': async (response) => {
      const status = await statusOf(bus)
      response.setHeader('content-type', 'application/json').end(status)
    },
    '/metrics': async (response) => {
      metrics ??= loadMetrics()
      const { contentType, text } = await metrics
      response.setHeader('content-type', contentType).end(await text())
    },
  }
  const server = createServer(async (request, response) => {
    const path = new URL(request.url ?? '/', 'http://inspector').pathname
    try {
      const serve = Object.hasOwn(pages, path) ? pages[path] : undefined
      if (serve === undefined) response.writeHead(404).end()
      else await serve(response)
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
    async stop() {
      reports.stop()
      server.closeAllConnections()
      await new Promise<void>((resolve) => server.close(() => resolve()))
    },
  }
}

async function statusOf(bus: Bus): Promise<string> {
  const answers = await bus.askAll(subjects.status, undefined, { waitMs: ANSWER_MS })
  return `[${answers.map((answer) => answer.string()).join(',')}]`
}
