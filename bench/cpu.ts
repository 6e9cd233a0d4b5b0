import { readFile, readdir } from 'node:fs/promises';

/**
 * CPU that the machine has spent so far, in ticks of 10 ms: user, nice, system, interrupts (proc_stat(5)). Of the whole
 * machine, because the network's share runs in interrupts that no process is charged for.
 */
export async function machineTicks(): Promise<number> {
  const [total = ''] = (await readFile('/proc/stat', 'utf8')).split('\n', 1);
  const [user = 0, nice = 0, system = 0, , , irq = 0, softirq = 0] = total.split(/\s+/).slice(1).map(Number);
  return user + nice + system + irq + softirq;
}

/** CPU of one process with all its threads, in ticks. */
export async function processTicks(pid: number): Promise<number> {
  const stat = await readFile(`/proc/${pid}/stat`, 'utf8');
  // The command's name may hold blanks and brackets; what follows the last bracket does not.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return Number(fields[11]) + Number(fields[12]);
}

/** Resident memory of a process in bytes. */
export async function residentBytes(pid: number): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8');
  return Number(/^VmRSS:\s+(\d+) kB$/m.exec(status)?.[1] ?? 0) * 1024;
}

export async function openDescriptors(pid: number): Promise<number> {
  return (await readdir(`/proc/${pid}/fd`)).length;
}
