import { existsSync } from 'node:fs'
import { expect, onTestFinished, test } from 'vitest'
import { startMemoryWatch } from '../../edges/memory-watch.ts'
import { startFunction } from './start-function.ts'

const startWatch = () => {
  const watch = startMemoryWatch(5)
  onTestFinished(() => watch.stop())
  return watch
}
const hungry = (body: string) => ({ 'index.js': `exports.handler = async (event) => { ${body} }` })
const megabyte = 1_048_576

if (!existsSync('/proc/self/statm')) {
  test('where there is no /proc nothing is watched, and the watch says so', () => {
    const watch = startWatch()
    expect(watch.available).toBe(false)
    expect(watch.measure(process.pid)).toBeUndefined()
  })
} else {
  test('a process is measured as itself tells', () => {
    const ratio = (startWatch().measure(process.pid) ?? 0) / process.memoryUsage.rss()
    expect(ratio).toBeGreaterThan(0.9)
    expect(ratio).toBeLessThan(1.5)
  })

  test('a runtime above its memory is reported once, and one below is not', async () => {
    const watch = startWatch()
    const modest = startFunction(hungry('return 1'))
    const greedy = startFunction(
      hungry(
        'const held = Buffer.alloc(300 * 1048576, 1); await new Promise((resolve) => setTimeout(resolve, 60_000)); return held.length',
      ),
    )
    await modest.next('ready')
    await greedy.next('ready')
    const reports: string[] = []
    watch.watch(modest.process.pid as number, 256 * megabyte, () => reports.push('modest'))
    await new Promise<void>((resolve) => {
      watch.watch(greedy.process.pid as number, 256 * megabyte, (bytes) => {
        expect(bytes).toBeGreaterThan(256 * megabyte)
        reports.push('greedy')
        greedy.process.kill()
        resolve()
      })
      greedy.invoke({}).catch(() => {})
    })
    await greedy.next('exited')
    await modest.invoke({})
    expect(reports).toEqual(['greedy'])
  })

  test('what a runtime started counts as its own', async () => {
    const watch = startWatch()
    const parent = startFunction(
      hungry(
        "const child = require('node:child_process').spawn(process.execPath, ['-e', 'const held = Buffer.alloc(200 * 1048576, 1); console.log(1); setTimeout(() => held, 60000)']); await new Promise((resolve) => child.stdout.once('data', resolve)); return 1",
      ),
    )
    await parent.next('ready')
    await parent.invoke({})
    expect(watch.measure(parent.process.pid as number)).toBeGreaterThan(230 * megabyte)
  })

  test('a process that is gone has no measure', async () => {
    const watch = startWatch()
    const running = startFunction(hungry('return 1'))
    await running.next('ready')
    const pid = running.process.pid as number
    watch.watch(pid, 1e12, () => {})
    running.process.kill()
    await running.next('exited')
    expect(watch.measure(pid)).toBeUndefined()
    watch.forget(pid)
  })
}
