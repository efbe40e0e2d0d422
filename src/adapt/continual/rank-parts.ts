/** The rank of one low-rank adapter, divided between the tasks of a stream. */

/** The rows of A, and columns of B, of a task; the last task has what is left, too. */
export function partOf(task: number, tasks: number, rank: number): { readonly first: number; readonly end: number } {
  const share = Math.floor(rank / tasks);
  return { first: task * share, end: task === tasks - 1 ? rank : (task + 1) * share };
}

/** 1 for each rank of a task, 0 for the others. */
export const onlyPart = ({ first, end }: ReturnType<typeof partOf>, rank: number): Float32Array =>
  Float32Array.from({ length: rank }, (_, i) => (first <= i && i < end ? 1 : 0));
