export async function lambus(args: string[]): Promise<number> {
  console.log(process.version, args, process.pid, process.ppid)
  process.on('SIGINT', () => console.log('int'))
  process.on('SIGTERM', () => {
    console.log('term')
    process.exit(7)
  })
  if (args[0] === 'wait') await new Promise((r) => setTimeout(r, 20000))
  return 3
}
