// Names of clusters: those of the run, and what is typed here. A page cannot write into the run folder, so it saves a table.
const given = data.given;
const cutNow = () => (now.k === chosen ? "" : String(now.k));
const nameOfCluster = (cluster) => given[cutNow()]?.[cluster.id] ?? "";
const called = (cluster) => nameOfCluster(cluster) || `Cluster ${cluster.id}`;
const renamed = [];

function rename(cluster, text) {
  const name = text.trim().replace(/\s+/g, " ").slice(0, data.longestName);
  if (name === nameOfCluster(cluster)) return;
  const names = (given[cutNow()] ??= {});
  if (name) names[cluster.id] = name; else delete names[cluster.id];
  byId("naming").hidden = false;
  for (const listener of renamed) listener();
}

// What heads a card: its name to read and to change, and its number.
function heading(cluster, p) {
  const title = element("h3", "", `Cluster ${cluster.id}`);
  title.id = `cluster-${p}-title`;
  const field = element("input", "called");
  Object.assign(field, {type: "text", value: nameOfCluster(cluster), placeholder: "Name it", maxLength: data.longestName, autocomplete: "off"});
  field.setAttribute("aria-label", `Name of cluster ${cluster.id}`);
  field.addEventListener("change", () => { rename(cluster, field.value); field.value = nameOfCluster(cluster); });
  field.addEventListener("keydown", (event) => { if (event.key === "Enter") field.blur(); });
  return [title, field];
}

function save(text, name) {
  const url = URL.createObjectURL(new Blob([text], {type: "text/csv"}));
  const link = element("a");
  link.href = url;
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(url), 10000);
}

// The table that `kinfold name RUN --from names.csv` takes.
const quoted = (value) => (/[",\r\n]/.test(value) ? `"${value.replaceAll('"', '""')}"` : value);
function namesText() {
  const lines = ["cut,cluster,name"];
  for (const [cut, names] of Object.entries(given)) {
    for (const [cluster, name] of Object.entries(names)) lines.push(`${cut},${cluster},${quoted(name)}`);
  }
  return lines.join("\n") + "\n";
}
let unsaved = false;
renamed.push(() => { unsaved = true; });
byId("save-names").onclick = () => { save(namesText(), "names.csv"); unsaved = false; };
addEventListener("beforeunload", (event) => { if (unsaved) event.preventDefault(); });
