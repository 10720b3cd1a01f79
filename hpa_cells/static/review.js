// The page of `hpa_cells review`: shows a cell, mixes its channels, sends decisions. Texts go in by textContent only.
const $ = id => document.getElementById(id)
const setup = JSON.parse(document.body.dataset.setup)       // token, version, order, cls, names, keys, negative, leave_out
const COLOURS = [[1, 0, 0], [0, 1, 0], [0, 0, 1], [.5, .5, 0]], CHANNEL_KEYS = 'rgby'
const on = [true, true, true, true]
let gain = 1, page = null, at = 0, cell = null, draft = new Set()

// ---- asking the server, one thing after the other
let queue = Promise.resolve()
function later(job) { return queue = queue.then(job).catch(e => tell(e.message, true)) }

async function call(path, body) {
  const post = body && {method: 'POST', body: JSON.stringify(body), headers: {'Content-Type': 'application/json', 'X-Token': setup.token}}
  let answer
  try { answer = await fetch(path, post || {}) }
  catch { throw Error((body ? 'Not saved: ' : '') + 'the server does not answer; is `hpa_cells review` still running?') }
  if (!answer.ok) throw Error((body ? 'Not saved: ' : '') + await answer.text())
  return answer.json()
}

let fading
function tell(text, wrong) {
  clearTimeout(fading)
  if (!wrong) fading = setTimeout(() => { $('told').textContent = '' }, 4000)
  $('told').textContent = text
  $('told').classList.toggle('wrong', !!wrong)
}

// ---- elements
function make(tag, props = {}, ...children) {
  const e = Object.assign(document.createElement(tag), props)
  e.append(...children)
  return e
}

const nameOf = c => `${c} ${setup.names[c]}`
const said = d => d === setup.leave_out ? 'left out' : d.split('|').map(c => setup.names[c]).join(', ')
const classButtons = setup.names.map((name, c) => {
  const b = make('button', {type: 'button', className: 'class'}, make('kbd', {textContent: setup.keys[c]}),
    make('span', {className: 'name', textContent: name}), make('span', {className: 'p'}), make('span', {className: 'count', title: 'cells marked'}))
  b.addEventListener('click', () => toggle(c))
  $('classes').append(b)
  return b
})

// ---- pictures: grey planes one above the other
const pictures = new Map()
function picture(kind, row, planes) {
  const url = `/img/${setup.version}/${kind}/${row}`
  if (!pictures.has(url)) {
    pictures.set(url, decode(url, planes).catch(() => null))
    if (pictures.size > 60) pictures.delete(pictures.keys().next().value)
  }
  return pictures.get(url)
}

async function decode(url, planes) {
  const image = new Image()
  image.src = url
  await image.decode()
  const [w, h] = [image.naturalWidth, image.naturalHeight / planes]
  const context = Object.assign(document.createElement('canvas'), {width: w, height: h * planes}).getContext('2d', {willReadFrequently: true})
  context.drawImage(image, 0, 0)
  const rgba = context.getImageData(0, 0, w, h * planes).data, grey = new Uint8Array(w * h * planes)
  for (let i = 0; i < grey.length; i++) grey[i] = rgba[4 * i]
  return {w, h, planes, grey, tops: COLOURS.map((_, k) => top(grey.subarray(k * w * h, (k + 1) * w * h)))}
}

function top(plane) {       // what 99.8 % of the pixels do not exceed, 16 at least
  const counts = new Uint32Array(256)
  for (const v of plane) counts[v]++
  let v = 255
  for (let above = counts[255]; v > 16 && above <= plane.length * .002;) above += counts[--v]
  return v
}

function draw(canvas, p) {
  canvas.parentElement.classList.toggle('empty', !p)
  if (!p) return
  const n = p.w * p.h, single = on.filter(Boolean).length === 1, pixels = new ImageData(p.w, p.h), out = pixels.data
  const used = COLOURS.map((colour, k) => [k * n, gain * 255 / p.tops[k], single ? [1, 1, 1] : colour]).filter((_, k) => on[k])
  for (let i = 0; i < n; i++) {
    let r = 0, g = 0, b = 0
    for (const [start, scale, colour] of used) {
      const v = Math.min(255, p.grey[start + i] * scale)
      r += v * colour[0]; g += v * colour[1]; b += v * colour[2]
    }
    const rim = p.planes > 4 && $('rims').getAttribute('aria-pressed') === 'true' ? p.grey[4 * n + i] : 0
    out[4 * i] = Math.max(r, rim); out[4 * i + 1] = Math.max(g, rim); out[4 * i + 2] = Math.max(b, rim); out[4 * i + 3] = 255
  }
  canvas.width = p.w; canvas.height = p.h
  canvas.getContext('2d').putImageData(pixels, 0, 0)
}

async function paint() {
  const shown = cell
  const both = [picture('cell', shown.row, 4), setup.images ? picture('field', shown.row, 5) : null]
  const [small, large] = await Promise.all(both)
  if (shown !== cell) return        // another one was opened meanwhile
  draw($('cell'), small)
  draw($('field'), large)
  if (setup.images) $('hint').textContent = large ? 'in its field' : 'its field is not among the images'
}

// ---- the cell that is looked at
function open(one, index) {
  cell = one
  if (index !== undefined) at = index
  draft = new Set(cell.decision && cell.decision !== setup.leave_out ? cell.decision.split('|').map(Number) : cell.has)
  showState()
  for (const [k, b] of [...$('grid').children].entries()) b.toggleAttribute('aria-current', k === at && page.cells[k] === cell)
  bringIntoView($('grid').children[at])
  showDraft()
  remember()
  paint()
  for (const next of page.cells.slice(at + 1, at + 3)) { picture('cell', next.row, 4); if (setup.images) picture('field', next.row, 5) }
}

function showState() {
  $('name').textContent = `Cell ${cell.cell} of ${cell.ID}`
  $('name').title = $('name').textContent
  $('state').textContent = cell.decision ? 'You said: ' + said(cell.decision) : 'Proposed: ' + (cell.has.map(c => setup.names[c]).join(', ') || 'nothing')
  $('state').classList.toggle('done', !!cell.decision)
  $('image').textContent = cell.image ? 'Image: ' + (cell.image.map(c => setup.names[c]).join(', ') || 'no labels known') : ''
  $('leave').setAttribute('aria-pressed', cell.decision === setup.leave_out)
}

function bringIntoView(b) {      // within the list only: the page itself stays where it is
  const list = $('grid')
  if (!b) return
  list.scrollTop = Math.min(Math.max(list.scrollTop, b.offsetTop + b.offsetHeight - list.clientHeight), b.offsetTop)
  list.scrollLeft = Math.min(Math.max(list.scrollLeft, b.offsetLeft + b.offsetWidth - list.clientWidth), b.offsetLeft)
}

function showDraft() {
  classButtons.forEach((b, c) => {
    b.setAttribute('aria-pressed', draft.has(c))
    b.classList.toggle('image', !!cell.image?.includes(c))
    const p = cell.p ? cell.p[c] : 0
    b.style.setProperty('--p', p)
    b.querySelector('.p').textContent = p < .005 ? '' : p.toFixed(2).replace(/^0/, '')
  })
}

function toggle(c, only) {
  if (only) draft = new Set([c])
  else if (draft.has(c)) draft.delete(c)
  else if (c === setup.negative) draft = new Set([c])
  else { draft.add(c); draft.delete(setup.negative) }
  showDraft()
}

// ---- decisions
function update(changed) {
  for (const [k, old] of page.cells.entries()) if (old.row === changed.row) {
    Object.assign(old, changed)
    label(k)
    if (old === cell) showState()
    return old
  }
}

const undoable = () => JSON.parse(sessionStorage.getItem(setup.version) || '[]')
const keep = ids => sessionStorage.setItem(setup.version, JSON.stringify(ids.slice(-1000)))

function decide(decision) {
  if (!cell) return
  if (!decision.length) return tell('Choose a class, or Negative (n), or leave the cell out (x).', true)
  const mine = cell, before = mine.decision, text = Array.isArray(decision) ? [...decision].sort((a, b) => a - b).join('|') : decision
  update({row: mine.row, decision: text})
  const saved = later(async () => {
    try {
      const answer = await call('/api/decide', {row: mine.row, decision})
      keep([...undoable(), answer.id])
      update(answer.cell)
      count(answer.progress)
      tell(`Saved: ${said(text)} (cell ${mine.cell} of ${mine.ID})`)
    } catch (e) {
      update({row: mine.row, decision: before})
      throw e
    }
  })
  step()
  return saved
}

function undo() {
  return later(async () => {
    const ids = undoable(), id = ids.pop()
    if (!id) return tell('Nothing to undo in this tab.')
    const answer = await call('/api/undo', {id})
    keep(ids)
    count(answer.progress)
    if (!answer.cell) return
    const here = update(answer.cell)
    open(here || answer.cell, here && page.cells.indexOf(here))
    tell(`Taken back: cell ${answer.cell.cell} of ${answer.cell.ID}`)
  })
}

// ---- pages and ways through them
async function load(number, pick) {
  const cls = $('cls').value, asked = {order: $('order').value, ...(cls && {cls})}
  page = {...await call('/api/page?' + new URLSearchParams({...asked, ...(number !== null && {page: number})})), asked}
  $('grid').replaceChildren(...page.cells.map(thumb))
  page.cells.forEach((_, k) => label(k))
  $('where').textContent = page.total ? `page ${page.number + 1} of ${page.pages} · ${page.total.toLocaleString()} cells` : 'no cells'
  $('back').disabled = !page.number
  $('on').disabled = page.number + 1 >= page.pages
  count(page.progress)
  document.body.classList.toggle('none', !page.cells.length)
  if (!page.cells.length) { cell = null; return tell('No cell stands in this order; choose another one.') }
  const k = pick ? pick(page.cells) : page.cells.findIndex(c => !c.decision)
  open(page.cells[Math.max(k, 0)], Math.max(k, 0))
}

function thumb(one, k) {
  const b = make('button', {type: 'button', className: 'thumb'},
    make('img', {src: `/img/${setup.version}/thumb/${one.row}`, alt: '', width: 96, height: 96, draggable: false}), make('span'))
  b.addEventListener('click', () => open(page.cells[k], k))
  return b
}

function label(k) {
  const one = page.cells[k], b = $('grid').children[k], out = one.decision === setup.leave_out
  b.title = `cell ${one.cell} of ${one.ID}` + (one.decision ? ': ' + said(one.decision) : '')
  b.setAttribute('aria-label', b.title)
  b.classList.toggle('done', !!one.decision)
  b.classList.toggle('out', out)
  b.lastChild.textContent = one.decision ? (out ? '✕' : one.decision.replaceAll('|', ' ')) : ''
}

function count(progress) {
  $('marked').textContent = `${progress.cells.toLocaleString()} of ${progress.of.toLocaleString()} marked` + (progress.left_out ? `, ${progress.left_out} left out` : '')
  $('bar').max = progress.of
  $('bar').value = progress.cells
  progress.classes.forEach((n, c) => {
    classButtons[c].querySelector('.count').textContent = n || ''
    $('cls').options[c + 1].textContent = nameOf(c) + (n ? ` (${n} marked)` : '')
  })
}

function step() {       // to the next cell without a decision
  const k = page.cells.findIndex((c, k) => k > at && !c.decision)
  if (k >= 0) return open(page.cells[k], k)
  if (page.number + 1 < page.pages) {
    cell = null       // keys have nothing to act on until the page is there
    return later(() => load(page.number + 1))
  }
  open(page.cells[at], at)
  tell('This was the last one of this order.')
}

function move(by) {
  if (!page?.cells.length) return
  if (page.cells[at + by]) return open(page.cells[at + by], at + by)
  const number = page.number + by
  if (number >= 0 && number < page.pages) later(() => load(number, cells => by > 0 ? 0 : cells.length - 1))
}

function turn(by) { later(() => load(page.number + by)) }

function remember() {
  history.replaceState(null, '', `?${new URLSearchParams({...page.asked, page: page.number})}#${cell.row}`)
}

// ---- channels, brightness, keys
const channelButtons = [...document.querySelectorAll('[data-channel]')]
function switchChannel(k, only) {
  if (only) on.fill(false)
  on[k] = only || !on[k]
  if (!on.some(Boolean)) on.fill(true)
  channelButtons.forEach((b, j) => b.setAttribute('aria-pressed', on[j]))
  if (cell) paint()
}
function brighten(steps) {
  $('gain').value = Math.min(4, Math.max(-4, steps))
  gain = 2 ** ($('gain').value / 2)
  if (cell) paint()
}
function showRims() {
  $('rims').setAttribute('aria-pressed', $('rims').getAttribute('aria-pressed') !== 'true')
  if (cell) paint()
}
channelButtons.forEach((b, k) => b.addEventListener('click', e => switchChannel(k, e.shiftKey)))
$('gain').addEventListener('input', () => brighten(+$('gain').value))
$('gain').addEventListener('change', () => $('gain').blur())        // arrows go to the next cell again
$('rims').addEventListener('click', showRims)

const actions = {
  save: () => decide([...draft]), leave: () => decide(setup.leave_out), next: () => move(1), previous: () => move(-1), undo,
  back: () => turn(-1), on: () => turn(1), help: () => $('keys').showModal(), close: () => $('keys').close(),
}
for (const [id, act] of Object.entries(actions)) $(id).addEventListener('click', act)
document.addEventListener('click', e => e.detail && e.target.closest('button')?.blur())        // after a mouse, Enter means save
for (const id of ['order', 'cls']) $(id).addEventListener('change', () => { $(id).blur(); later(() => load(null)) })

const keys = {
  Enter: actions.save, ArrowRight: actions.next, ArrowLeft: actions.previous, PageDown: () => !$('on').disabled && turn(1),
  PageUp: () => !$('back').disabled && turn(-1), x: actions.leave, z: undo, Backspace: undo, '+': () => brighten(+$('gain').value + 1),
  '-': () => brighten(+$('gain').value - 1), l: showRims, h: actions.help, '?': actions.help,
}
document.addEventListener('keydown', e => {
  if (e.target.matches('select') || $('keys').open || e.altKey) return
  if (e.key === 'Enter' && e.target.closest('header, nav, #tools')) return        // somebody goes from button to button by Tab
  const digit = /^(?:Digit|Numpad)(\d)$/.exec(e.code)?.[1], key = e.key.length === 1 ? e.key.toLowerCase() : e.key
  if (e.repeat && !/^(Arrow|Page)/.test(key)) return e.preventDefault()        // a key held down is one decision
  if (e.ctrlKey || e.metaKey) { if (key === 'z') { e.preventDefault(); undo() } return }
  const c = setup.keys.indexOf(digit ?? key), channel = key.length === 1 ? CHANNEL_KEYS.indexOf(key) : -1
  let act = keys[key]
  if (key.length === 1 && c >= 0 && cell) act = () => { toggle(c, e.shiftKey); if (e.shiftKey) actions.save() }
  else if (channel >= 0) act = () => switchChannel(channel, e.shiftKey)
  if (!act) return
  e.preventDefault()
  act()
})

// ---- what others decided meanwhile; and the start
document.addEventListener('visibilitychange', () => {
  if (document.hidden || !page) return
  later(async () => {       // what was chosen for this cell, but not saved yet, stays
    const now = await call('/api/page?' + new URLSearchParams({...page.asked, page: page.number}))
    now.cells.forEach(update)
    count(now.progress)
  })
})
const asked = new URLSearchParams(location.search), row = +location.hash.slice(1)
$('order').value = asked.get('order') || setup.order
$('cls').value = asked.get('cls') ?? setup.cls
later(() => load(asked.has('page') ? +asked.get('page') : null, location.hash ? cells => cells.findIndex(c => c.row === row) : null))
