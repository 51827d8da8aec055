/* The boot sector of bios_guest.c: loads what follows it on the disk, and goes over to it. Real mode, below 64 KiB. */
    .code16
    .section .boot, "ax"
    .globl start
start:
    cli
    xorw %ax, %ax
    movw %ax, %ds
    movw %ax, %es
    movw %ax, %ss
    movl $0x7c00, %esp
    sti
    cld
    ljmp $0, $1f
1:  movw $wanted, %si
    movb $0x42, %ah         /* extended read, from the drive that the BIOS left in DL */
    int $0x13
    jc 2f
    xorw %ax, %ax
    movw $__bss_start, %di
    movw $_end, %cx
    subw %di, %cx
    rep stosb
    calll tell_for_ever
2:  hlt
    jmp 2b

wanted:
    .byte 16, 0
    .word SECTORS
    .word 0x7e00, 0
    .quad 1

    .org 510
    .word 0xaa55
