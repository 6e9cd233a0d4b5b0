/** Whether what a manifest says is for another namespace to see: `*`, `.` for its own, or by name; everybody where it says nothing. */
export function isExportedTo(namespace: string, exportTo: readonly string[], own: string): boolean {
  if (exportTo.length === 0) return true;
  return exportTo.some((word) => word === '*' || word === namespace || (word === '.' && own === namespace));
}
