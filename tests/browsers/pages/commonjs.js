// Loads packages that are written for Node's `require`, as a bundler would, one file at a time.

const process = { env: {} };
const loaded = new Map();

function fetched(path) {
  const request = new XMLHttpRequest();
  request.open("GET", path, false);
  request.send();
  return request.status === 200 ? request.responseText : null;
}

function entry(name) {
  const about = JSON.parse(fetched(`/node_modules/${name}/package.json`));
  const main = (typeof about.browser === "string" ? about.browser : about.main) ?? "index.js";
  return new URL(main.endsWith("/") ? `${main}index.js` : main, `${location.origin}/node_modules/${name}/`).pathname;
}

function requireFrom(base) {
  return (name) => {
    let path = name.startsWith(".") ? new URL(name, location.origin + base).pathname : entry(name);
    if (!/\.js(on)?$/.test(path)) path += ".js";
    if (loaded.has(path)) return loaded.get(path).exports;
    const text = fetched(path);
    if (text === null) throw new Error(`cannot load ${name} for ${base}`);
    const module = { exports: {} };
    loaded.set(path, module);
    if (path.endsWith(".json")) module.exports = JSON.parse(text);
    else {
      new Function("require", "module", "exports", "process", `${text}\n//# sourceURL=${path}`)(
        requireFrom(path), module, module.exports, process);
    }
    return module.exports;
  };
}

window.requireFrom = requireFrom;
