;; An honest metric with one score: the number of rows. The cases put other text in the place of the marks.
(module
  (memory (export "memory") 2)
  (global $next (mut i32) (i32.const 65536))
  (global $rows (mut i32) (i32.const 0))
  (data (i32.const 64) "\80\00\00\00\05\00\00\00\85\00\00\00\05\00\00\00\00\00\00\00\00\00\00\00\90\00\00\00\01\00\00\00")
  (data (i32.const 128) "count0.1.0\00\00\00\00\00\00\9c\00\00\00\04\00\00\00\01\00\00\00rows")
  ;;@data
  (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32)
    (local $at i32)
    (local.set $at (i32.and (i32.add (global.get $next) (i32.const 7)) (i32.const -8)))
    (global.set $next (i32.add (local.get $at) (local.get 3)))
    (local.get $at))
  (func (export "pliant:plugin/metric@0.1.0#init") (param i32 i32) (result i32)
    (global.set $rows (i32.const 0))
    (i32.const 16))
  (func (export "pliant:plugin/metric@0.1.0#describe") (result i32)
    ;;@describe
    (i32.const 64))
  (func (export "pliant:plugin/metric@0.1.0#add") (param i32 i32 i32 i32 i32 i32 i32 i32 i32 i32) (result i32)
    ;;@add
    (global.set $rows (i32.add (global.get $rows) (local.get 0)))
    (i32.const 16))
  (func (export "cabi_post_pliant:plugin/metric@0.1.0#add") (param i32)
    (global.set $next (i32.const 65536)))
  ;; The list of scores is one record at 320: name, and an option of f64 at 328.
  (func (export "pliant:plugin/metric@0.1.0#finish") (result i32)
    (i32.store8 (i32.const 256) (i32.const 0))
    (i32.store (i32.const 260) (i32.const 320))
    (i32.store (i32.const 264) (i32.const 1))
    (i32.store (i32.const 320) (i32.const 156))
    (i32.store (i32.const 324) (i32.const 4))
    (i32.store8 (i32.const 328) (i32.const 1))
    (f64.store (i32.const 336) (f64.convert_i32_u (global.get $rows)))
    ;;@finish
    (i32.const 256))
)
