;; An honest head with one column: the first number of each vector. The cases put other text in the place of the marks.
(module
  (type $log (func (param i32 i32 i32)))
  ;;@imports
  (memory (export "memory") 2)
  ;;@top
  (global $next (mut i32) (i32.const 65536))

  ;; init has no error to tell; describe points to its record; the answer of predict is written at 256.
  (data (i32.const 16) "\00")
  (data (i32.const 64) "\80\00\00\00\05\00\00\00\85\00\00\00\05\00\00\00\01\01\01\00\00\00\00\00\00\00\00\00\98\00\00\00\01\00\00\00\01\00\00\00")
  (data (i32.const 128) "plain0.1.0\00\00\00\00\00\00value\00\00\00\90\00\00\00\05\00\00\00")
  ;;@data

  (func $realloc (export "cabi_realloc") (param $old i32) (param $size i32) (param $align i32) (param $new i32) (result i32)
    (local $at i32) (local $end i32)
    ;;@realloc
    (local.set $at
      (i32.and (i32.add (global.get $next) (i32.sub (local.get $align) (i32.const 1)))
               (i32.sub (i32.const 0) (local.get $align))))
    (local.set $end (i32.add (local.get $at) (local.get $new)))
    (global.set $next (local.get $end))
    (if (i32.gt_u (local.get $end) (i32.mul (memory.size) (i32.const 65536)))
      (then
        (drop (memory.grow
          (i32.add (i32.const 1)
            (i32.div_u (i32.sub (local.get $end) (i32.mul (memory.size) (i32.const 65536))) (i32.const 65536)))))))
    (local.get $at))

  (func (export "pliant:plugin/head@0.1.0#init") (param i32 i32 i32 i32 i32) (result i32)
    ;;@init
    (i32.const 16))

  (func (export "pliant:plugin/head@0.1.0#describe") (result i32)
    ;;@describe
    (i32.const 64))

  (func $first (param $rows i32) (param $columns i32) (param $from i32) (result i32)
    (local $to i32) (local $row i32)
    (local.set $to (call $realloc (i32.const 0) (i32.const 0) (i32.const 4) (i32.mul (local.get $rows) (i32.const 4))))
    (i32.store8 (i32.const 256) (i32.const 0))
    (i32.store (i32.const 260) (local.get $rows))
    (i32.store (i32.const 264) (i32.const 1))
    (i32.store (i32.const 268) (local.get $to))
    (i32.store (i32.const 272) (local.get $rows))
    (block $done
      (loop $more
        (br_if $done (i32.ge_u (local.get $row) (local.get $rows)))
        (f32.store
          (i32.add (local.get $to) (i32.mul (local.get $row) (i32.const 4)))
          (f32.load (i32.add (local.get $from)
            (i32.mul (i32.mul (local.get $row) (local.get $columns)) (i32.const 4)))))
        (local.set $row (i32.add (local.get $row) (i32.const 1)))
        (br $more)))
    (i32.const 256))

  (func (export "pliant:plugin/head@0.1.0#predict")
    (param $rows i32) (param $columns i32) (param $from i32) (param $count i32) (result i32)
    (local $at i32)
    ;;@predict
    (drop (call $first (local.get $rows) (local.get $columns) (local.get $from)))
    ;;@answer
    (i32.const 256))
  (func (export "cabi_post_pliant:plugin/head@0.1.0#predict") (param i32)
    (global.set $next (i32.const 65536)))

  (func (export "pliant:plugin/head@0.1.0#predict-residues") (param i32 i32 i32 i32 i32 i32) (result i32)
    ;;@residues
    (call $first (local.get 0) (local.get 1) (local.get 2)))
  (func (export "pliant:plugin/head@0.1.0#predict-pairs") (param i32 i32 i32 i32 i32 i32 i32 i32) (result i32)
    ;;@pairs
    (call $first (local.get 0) (local.get 1) (local.get 2)))
  ;;@end
)
