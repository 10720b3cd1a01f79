// The page of `hpa_cells review`: shows a cell, mixes its channels, sends decisions. Text is set by textContent only.
const $ = id => document.getElementById(id)
// setup: token, version, order, cls, names, keys, negative, leave_out, images
const setup = JSON.parse(document.body.dataset.setup)
const COLOURS = [[1, 0, 0], [0, 1, 0], [0, 0, 1], [.5, .5, 0]], CHANNEL_KEYS = 'rgby'
const on = [true, true, true, true]
let gain = 1, page = null, at = 0, cell = null, draft = new Set()

// ---- requests, one after the other
let queue = Promise.resolve()
function later(job) { return queue = queue.then(job).catch(e => report(e.message, true)) }

async function call(path, body) {
  const headers = {'Content-Type': 'application/json', 'X-Token': setup.token}, unsaved = body ? 'Not saved: ' : ''
  let answer
  try { answer = await fetch(path, body ? {method: 'POST', body: JSON.stringify(body), headers} : {}) }
  catch { throw Error(unsaved + 'the server does not answer; is `hpa_cells review` still running?') }
  if (!answer.ok) throw Error(unsaved + await answer.text())
  return answer.json()
}

let fading
function report(text, wrong) {
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
const inWords = d => d === setup.leave_out ? 'left out' : d.split('|').map(c => setup.names[c]).join(', ')
const classButtons = setup.names.map((name, c) => {
  const b = make('button', {type: 'button', className: 'class'}, make('kbd', {textContent: setup.keys[c]}),
    make('span', {className: 'name', textContent: name}), make('span', {className: 'p'}),
    make('span', {className: 'count', title: 'cells with this decision'}))
  b.addEventListener('click', () => toggle(c))
  $('classes').append(b)
  return b
})

// ---- pictures: grey planes, stacked vertically
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
  const canvas = Object.assign(document.createElement('canvas'), {width: w, height: h * planes})
  const context = canvas.getContext('2d', {willReadFrequently: true})
  context.drawImage(image, 0, 0)
  const rgba = context.getImageData(0, 0, w, h * planes).data, grey = new Uint8Array(w * h * planes)
  for (let i = 0; i < grey.length; i++) grey[i] = rgba[4 * i]
  return {w, h, planes, grey, tops: COLOURS.map((_, k) => top(grey.subarray(k * w * h, (k + 1) * w * h)))}
}

function top(plane) {       // the 99.8th percentile, at least 16
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
  const used = COLOURS.map((colour, k) => [k * n, gain * 255 / p.tops[k], single ? [1, 1, 1] : colour])
    .filter((_, k) => on[k])
  const rims = p.planes > 4 && $('rims').getAttribute('aria-pressed') === 'true'
  for (let i = 0; i < n; i++) {
    let r = 0, g = 0, b = 0
    for (const [start, scale, colour] of used) {
      const v = Math.min(255, p.grey[start + i] * scale)
      r += v * colour[0]; g += v * colour[1]; b += v * colour[2]
    }
    const rim = rims ? p.grey[4 * n + i] : 0, at = 4 * i
    out[at] = Math.max(r, rim); out[at + 1] = Math.max(g, rim); out[at + 2] = Math.max(b, rim); out[at + 3] = 255
  }
  canvas.width = p.w; canvas.height = p.h
  canvas.getContext('2d').putImageData(pixels, 0, 0)
}

async function paint() {
  const shown = cell
  const both = [picture('cell', shown.row, 4), setup.images ? picture('field', shown.row, 5) : null]
  const [small, large] = await Promise.all(both)
  if (shown !== cell) return        // another cell was opened meanwhile
  draw($('cell'), small)
  draw($('field'), large)
  if (setup.images) $('hint').textContent = large ? 'in its image' : 'its image was not found'
}

// ---- the cell on screen
function open(one, index) {
  cell = one
  if (index !== undefined) at = index
  draft = new Set(cell.decision && cell.decision !== setup.leave_out ? cell.decision.split('|').map(Number) : cell.has)
  showState()
  for (const [k, b] of [...$('grid').children].entries())
    b.toggleAttribute('aria-current', k === at && page.cells[k] === cell)
  bringIntoView($('grid').children[at])
  showDraft()
  remember()
  paint()
  for (const next of page.cells.slice(at + 1, at + 3)) {       // load ahead
    picture('cell', next.row, 4)
    if (setup.images) picture('field', next.row, 5)
  }
}

function showState() {
  $('name').textContent = `Cell ${cell.cell} of ${cell.ID}`
  $('name').title = $('name').textContent
  const names = classes => classes.map(c => setup.names[c]).join(', ')
  const proposed = 'Proposed: ' + (names(cell.has) || 'no class')
  $('state').textContent = cell.decision ? 'Decided: ' + inWords(cell.decision) : proposed
  $('state').classList.toggle('done', !!cell.decision)
  $('image').textContent = cell.image ? 'Image: ' + (names(cell.image) || 'labels unknown') : ''
  $('leave').setAttribute('aria-pressed', cell.decision === setup.leave_out)
}

function bringIntoView(b) {      // scroll the list, not the page
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
  if (!decision.length) return report('Choose a class, or Negative (n), or leave the cell out (x).', true)
  const mine = cell, before = mine.decision
  const text = Array.isArray(decision) ? [...decision].sort((a, b) => a - b).join('|') : decision
  update({row: mine.row, decision: text})
  const saved = later(async () => {
    try {
      const answer = await call('/api/decide', {row: mine.row, decision})
      keep([...undoable(), answer.id])
      update(answer.cell)
      count(answer.progress)
      report(`Saved: ${inWords(text)} (cell ${mine.cell} of ${mine.ID})`)
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
    if (!id) return report('No decision to undo in this tab.')
    const answer = await call('/api/undo', {id})
    keep(ids)
    count(answer.progress)
    if (!answer.cell) return
    const here = update(answer.cell)
    open(here || answer.cell, here && page.cells.indexOf(here))
    report(`Undone: cell ${answer.cell.cell} of ${answer.cell.ID}`)
  })
}

// ---- pages
async function load(number, pick) {
  const cls = $('cls').value, asked = {order: $('order').value, ...(cls && {cls})}
  page = {...await call('/api/page?' + new URLSearchParams({...asked, ...(number !== null && {page: number})})), asked}
  $('grid').replaceChildren(...page.cells.map(thumb))
  page.cells.forEach((_, k) => label(k))
  const where = `page ${page.number + 1} of ${page.pages} · ${page.total.toLocaleString()} cells`
  $('where').textContent = page.total ? where : 'no cells'
  $('back').disabled = !page.number
  $('on').disabled = page.number + 1 >= page.pages
  count(page.progress)
  document.body.classList.toggle('none', !page.cells.length)
  if (!page.cells.length) { cell = null; return report('This order has no cells; choose another order.') }
  const k = pick ? pick(page.cells) : page.cells.findIndex(c => !c.decision)
  open(page.cells[Math.max(k, 0)], Math.max(k, 0))
}

function thumb(one, k) {
  const b = make('button', {type: 'button', className: 'thumb'},
    make('img', {src: `/img/${setup.version}/thumb/${one.row}`, alt: '', width: 96, height: 96, draggable: false}),
    make('span'))
  b.addEventListener('click', () => open(page.cells[k], k))
  return b
}

function label(k) {
  const one = page.cells[k], b = $('grid').children[k], out = one.decision === setup.leave_out
  b.title = `cell ${one.cell} of ${one.ID}` + (one.decision ? ': ' + inWords(one.decision) : '')
  b.setAttribute('aria-label', b.title)
  b.classList.toggle('done', !!one.decision)
  b.classList.toggle('out', out)
  b.lastChild.textContent = one.decision ? (out ? '✕' : one.decision.replaceAll('|', ' ')) : ''
}

function count(progress) {
  const decided = `${progress.cells.toLocaleString()} of ${progress.of.toLocaleString()} decided`
  $('marked').textContent = decided + (progress.left_out ? `, ${progress.left_out} left out` : '')
  $('bar').max = progress.of
  $('bar').value = progress.cells
  progress.classes.forEach((n, c) => {
    classButtons[c].querySelector('.count').textContent = n || ''
    $('cls').options[c + 1].textContent = nameOf(c) + (n ? ` (${n} decided)` : '')
  })
}

function step() {       // to the next cell without a decision
  const k = page.cells.findIndex((c, k) => k > at && !c.decision)
  if (k >= 0) return open(page.cells[k], k)
  if (page.number + 1 < page.pages) {
    cell = null       // keys do nothing until the page has loaded
    return later(() => load(page.number + 1))
  }
  open(page.cells[at], at)
  report('This was the last cell in this order.')
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
  save: () => decide([...draft]), leave: () => decide(setup.leave_out), undo,
  next: () => move(1), previous: () => move(-1), back: () => turn(-1), on: () => turn(1),
  help: () => $('keys').showModal(), close: () => $('keys').close(),
}
for (const [id, act] of Object.entries(actions)) $(id).addEventListener('click', act)
// after a mouse click, Enter saves instead of pressing the button again
document.addEventListener('click', e => e.detail && e.target.closest('button')?.blur())
for (const id of ['order', 'cls']) $(id).addEventListener('change', () => { $(id).blur(); later(() => load(null)) })

const keys = {
  Enter: actions.save, ArrowRight: actions.next, ArrowLeft: actions.previous,
  PageDown: () => !$('on').disabled && turn(1), PageUp: () => !$('back').disabled && turn(-1),
  x: actions.leave, z: undo, Backspace: undo, '+': () => brighten(+$('gain').value + 1),
  '-': () => brighten(+$('gain').value - 1), l: showRims, h: actions.help, '?': actions.help,
}
document.addEventListener('keydown', e => {
  if (e.target.matches('select') || $('keys').open || e.altKey) return
  if (e.key === 'Enter' && e.target.closest('header, nav, #tools')) return        // reached by Tab: press that button
  const digit = /^(?:Digit|Numpad)(\d)$/.exec(e.code)?.[1], key = e.key.length === 1 ? e.key.toLowerCase() : e.key
  if (e.repeat && !/^(Arrow|Page)/.test(key)) return e.preventDefault()        // a key held down: one decision
  if (e.ctrlKey || e.metaKey) { if (key === 'z') { e.preventDefault(); undo() } return }
  const c = setup.keys.indexOf(digit ?? key), channel = key.length === 1 ? CHANNEL_KEYS.indexOf(key) : -1
  let act = keys[key]
  if (key.length === 1 && c >= 0 && cell) act = () => { toggle(c, e.shiftKey); if (e.shiftKey) actions.save() }
  else if (channel >= 0) act = () => switchChannel(channel, e.shiftKey)
  if (!act) return
  e.preventDefault()
  act()
})

// ---- decisions from other tabs; start
document.addEventListener('visibilitychange', () => {
  if (document.hidden || !page) return
  later(async () => {       // an unsaved choice for this cell stays
    const now = await call('/api/page?' + new URLSearchParams({...page.asked, page: page.number}))
    now.cells.forEach(update)
    count(now.progress)
  })
})
const asked = new URLSearchParams(location.search), row = +location.hash.slice(1)
$('order').value = asked.get('order') || setup.order
$('cls').value = asked.get('cls') ?? setup.cls
const pick = location.hash ? cells => cells.findIndex(c => c.row === row) : null
later(() => load(asked.has('page') ? +asked.get('page') : null, pick))
