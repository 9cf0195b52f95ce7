/* Where files wait until they have reached the desk: the browser's own database, so that a reload loses none. */
const opened = () => new Promise((done, failed) => {
  const asked = indexedDB.open("baton", 1);
  asked.onupgradeneeded = () => asked.result.createObjectStore("files");
  asked.onsuccess = () => done(asked.result);
  asked.onerror = () => failed(asked.error);
});
const memory = new Map();  // where the browser has no such database: private windows
const ask = async (mode, what) => {
  const store = (await opened()).transaction("files", mode).objectStore("files");
  return new Promise((done, failed) => {
    const asked = what(store);
    asked.onsuccess = () => done(asked.result);
    asked.onerror = () => failed(asked.error);
  });
};
export const put = async (key, file) => {
  memory.set(key, file);
  await ask("readwrite", (store) => store.put(file, key)).catch(() => {});
};
export const get = async (key) => memory.get(key) || ask("readonly", (store) => store.get(key)).catch(() => undefined);
export const drop = async (key) => {
  memory.delete(key);
  await ask("readwrite", (store) => store.delete(key)).catch(() => {});
};
